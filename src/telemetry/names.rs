//! Every name that leaves the process: events, spans, metrics. One list, so that none is spelt twice or two ways.
//!
//! An event carries its name in the field `event`: `info!(event = event::CONFIG_LOADED, …, "configuration loaded")`.
//! Names are lower case, `part.what_happened`; metrics follow OpenTelemetry's conventions where they exist.

/// Events: something that happened.
pub mod event {
    /// The configuration was read and is in force. Fields: `profile`, `dir`.
    pub const CONFIG_LOADED: &str = "config.loaded";

    /// A slot came in or was taken up again. Fields: `slot`, `device`, `resumed`, `eta`.
    pub const SLOT_ACCEPTED: &str = "slot.accepted";
    /// A stage is set back and begun again. Fields: `slot`, `stage`, `counted`, `error`.
    pub const STAGE_AGAIN: &str = "slot.stage_again";
    /// Its speech is there. Fields: `slot`, `took`; so for the next three.
    pub const AUDIO_COMPLETE: &str = "slot.audio_complete";
    /// Its picture is there.
    pub const IMAGE_COMPLETE: &str = "slot.image_complete";
    /// Frames were rendered. Fields: `slot`, `done`, `total`.
    pub const VIDEO_PROGRESS: &str = "slot.video_progress";
    /// Its video is there.
    pub const VIDEO_COMPLETE: &str = "slot.video_complete";
    /// Its video's file is whole. Fields: `slot`, `frames`, `bytes`, `encoding` (seconds that its encoder was busy).
    pub const VIDEO_ENCODED: &str = "slot.video_encoded";
    /// The semantic check was passed. Also `summary`.
    pub const CLIP_COMPLETE: &str = "slot.clip_complete";
    /// It was handed over. Fields: `slot`, `elapsed`, one per stage, `deadline_met`.
    pub const GENERATION_COMPLETE: &str = "slot.generation_complete";
    /// It is not to be had. Fields: `slot`, `cause`, `stage`, `error`.
    pub const SLOT_FAILED: &str = "slot.failed";
    /// It was stopped. Fields: `slot`, `cause`.
    pub const SLOT_CANCELLED: &str = "slot.cancelled";
    /// Another node's result was first. Fields: `slot`, `by`.
    pub const SLOT_SUPERSEDED: &str = "slot.superseded";
    /// The claim on it was lost before its end was written. Fields: `slot`, `device`.
    pub const SLOT_LEFT: &str = "slot.left";
    /// A lease was refused before anything was allocated. Fields: `device`, `refusal`.
    pub const LEASE_REFUSED: &str = "memory.lease_refused";
    /// Another probe answers now. Fields: `device`, `from`, `to`, `because`.
    pub const PROBE_SWITCHED: &str = "memory.probe_switched";
    /// Pressure changed. Fields: `device`, `from`, `to`, `used`, `limit`.
    pub const PRESSURE_CHANGED: &str = "memory.pressure_changed";
    /// No usable sample for too long. Fields: `device`, `waited`.
    pub const PRESSURE_BLIND: &str = "memory.blind";
    /// Nothing could be seen for long: the probes were made anew. Fields: `device`, `waited`, `rebuilt`.
    pub const PROBES_REBUILT: &str = "memory.probes_rebuilt";
    /// Memory at one moment. Fields: `device`, `snapshot` as JSON.
    pub const MEMORY_SNAPSHOT: &str = "memory.snapshot";
    /// Whose memory keeps use above a limit. Fields: `device`, `cause`, `unexplained`.
    pub const PRESSURE_CAUSED: &str = "memory.pressure_caused";
    /// Whose memory it is where it is other processes'. Fields: `device`, `occupants` as JSON.
    pub const MEMORY_OCCUPIED: &str = "memory.occupied";
    /// Something is done about memory of our own. Fields: `device`, `remedy`, `model`, `used`, `budget`.
    pub const MEMORY_REMEDY: &str = "memory.remedy";
    /// The device takes slots in, or no more. Fields: `device`, `closed`.
    pub const ADMISSION_CHANGED: &str = "admission.changed";
    /// A checkpoint of the leak fit. Fields: `device`, `slope`, `growth`, `standard_error`, `leaking`.
    pub const LEAK_CHECKED: &str = "memory.leak_checked";
    /// A model is loaded. Fields: `device`, `model`, `resident`.
    pub const MODEL_LOADED: &str = "model.loaded";
    /// A model passed its canary. Fields: `device`, `model`, `after`.
    pub const MODEL_READY: &str = "model.ready";
    /// A model gave back memory. Fields: `device`, `model`, `freed`.
    pub const MODEL_TRIMMED: &str = "model.trimmed";
    /// A run made no step for too long. Fields: `device`, `model`, `age`.
    pub const MODEL_STALLED: &str = "model.stalled";
    /// A model's restart budget is spent. Fields: `device`, `model`, `rest`.
    pub const MODEL_CORDONED: &str = "model.cordoned";
    /// A model's actor went down. Fields: `device`, `model`, `fault`, `error`.
    pub const MODEL_DOWN: &str = "model.down";
    /// Another actor of a card's tree went down. Fields: `device`, `actor`, `fault`, `error`.
    pub const ACTOR_DOWN: &str = "actor.down";
    /// A card is given up; the last one takes the process along. Fields: `device`, `exit`, `cause`.
    pub const CARD_ESCALATED: &str = "card.escalated";
    /// A card's tree has ended without having been asked to. Fields: `device`, `exit`, `others`.
    pub const CARD_LOST: &str = "card.lost";
    /// A slot of a lost card goes on elsewhere. Fields: `slot`, `from`, `to`.
    pub const SLOT_MOVED: &str = "slot.moved";
    /// The node's last processes ended with 71. Fields: `count`, `within`, `cause`, `delay`, `alert`.
    pub const CRASH_LOOP: &str = "node.crash_loop";
    /// How this node's processes end could not be read or kept. Fields: `error`.
    pub const CRASH_RECORD_FAILED: &str = "node.crash_record_failed";
    /// The journal could not write. Fields: `slot`, `error`.
    pub const JOURNAL_FAILED: &str = "journal.failed";
}

/// Spans: something that takes time.
pub mod span {
    /// A slot from acceptance to its end. Field: `slot`.
    pub const SLOT: &str = "slot";
    /// A stage's attempt, within its slot. Fields: `stage`, `attempt`.
    pub const STAGE: &str = "stage";
    /// A model's run, within its stage; entered on the model's thread. Fields: `model`, `run`.
    pub const RUN: &str = "run";

    // Of traces alone; stages and runs are called after what they are of there.

    /// From a slot's hand-in to its acceptance.
    pub const INTAKE: &str = "intake";
    /// From its acceptance until it begins.
    pub const ADMISSION_WAIT: &str = "admission wait";
    /// A run's wait for memory.
    pub const MEMORY_WAIT: &str = "memory wait";
    /// Artifacts are handed over to the store.
    pub const UPLOAD: &str = "upload";
    /// A webhook's message, one try.
    pub const WEBHOOK: &str = "webhook";
}
