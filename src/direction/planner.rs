//! Which frames are rendered when time is short; the rest is reused or blended.
//!
//! Full rate whenever time allows or no budget is set. Otherwise frames that look like the last rendered one are reused;
//! where that is not enough, the most telling frames are rendered and the others blended between them, splitting again
//! and again where a blend would be furthest off, so that slow motion thins out first. Lip closures and the frames that
//! lead into and out of them are always rendered: no blend reaches across one. The plan is fixed before the video starts.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Directed;
use crate::contract::Warning;
use crate::types::{FramePlan, FrameSource, PlannedFrame};

/// Half a pixel of a 512-pixel frame, whose sides span two units of key-point coordinates: what moves less is not seen.
pub(crate) const VISIBLE: f32 = 0.5 * 2.0 / 512.0;

/// What rendering costs and what there is to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Measured cost of a rendered frame.
    pub per_frame: Duration,
    /// Time left for the whole video; `None` where no deadline is set.
    pub left: Option<Duration>,
}

/// How a plan came about, for the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanSummary {
    /// Frames the networks render.
    pub rendered: usize,
    /// Frames shown again.
    pub reused: usize,
    /// Frames blended of two.
    pub blended: usize,
    /// The cost it was planned with.
    pub per_frame: Duration,
    /// The time it was planned for.
    pub left: Option<Duration>,
}

/// A plan, its summary and what the requester should know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    /// Every frame, with its source.
    pub plan: FramePlan,
    /// How it came about.
    pub summary: PlanSummary,
    /// `frame_rate_reduced`, `budget_too_small`.
    pub warnings: Vec<Warning>,
}

/// Plans the video within its budget.
pub(crate) fn plan(directed: Directed, budget: Budget) -> Planned {
    let Directed { fps, mut frames, closed, mut warnings } = directed;
    let affordable = match budget.left {
        Some(left) if !budget.per_frame.is_zero() => (left.as_nanos() / budget.per_frame.as_nanos()) as usize,
        _ => usize::MAX,
    };
    if frames.len() > affordable {
        let kept = reuse(&mut frames, &closed);
        if kept > affordable {
            thin_out(&mut frames, &closed, affordable);
        }
    }
    let plan = FramePlan { fps, frames };
    let count =
        |wanted: fn(&FrameSource) -> bool| plan.frames.iter().filter(|frame| wanted(&frame.source)).count();
    let summary = PlanSummary {
        rendered: plan.rendered(),
        reused: count(|source| matches!(source, FrameSource::Reuse)),
        blended: count(|source| matches!(source, FrameSource::Blend { .. })),
        per_frame: budget.per_frame,
        left: budget.left,
    };
    warnings.extend(said_of(&summary, affordable));
    Planned { plan, summary, warnings }
}

fn said_of(summary: &PlanSummary, affordable: usize) -> Option<Warning> {
    let PlanSummary { rendered, blended, per_frame, left, .. } = summary;
    let left = left.unwrap_or_default();
    if *rendered > affordable {
        let needed = per_frame.saturating_mul(u32::try_from(*rendered).unwrap_or(u32::MAX));
        return Some(Warning::new(
            "budget_too_small",
            format!(
                "{rendered} frames cannot be left out and take {needed:?} at {per_frame:?} each; {left:?} are left"
            ),
        ));
    }
    (*blended > 0).then(|| {
        Warning::new(
            "frame_rate_reduced",
            format!("{blended} frames are blended: at {per_frame:?} a frame only {affordable} can be rendered in {left:?}"),
        )
    })
}

/// How far apart two frames look: an upper estimate of the largest key-point movement, in key-point units.
///
/// Turning the head moves points at most half a unit away from its axis; the controls' figures are the largest
/// coefficients of the editing table; the eye retargeting moves lids by about a twentieth of a unit in all.
pub(crate) fn distance(a: &PlannedFrame, b: &PlannedFrame) -> f32 {
    const ARM: f32 = 0.5;
    let turn = |a: f32, b: f32| (a - b).to_radians().abs() * ARM;
    let (p, q, f, g) = (&a.pose, &b.pose, &a.face, &b.face);
    let head = turn(p.pitch, q.pitch)
        + turn(p.yaw, q.yaw)
        + turn(p.roll, q.roll)
        + (p.shift_x - q.shift_x).hypot(p.shift_y - q.shift_y)
        + (p.scale - q.scale).abs() * ARM;
    let face = 0.02 * (f.smile - g.smile).abs()
        + 0.001 * (f.lips - g.lips).abs()
        + 0.001 * (f.purse - g.purse).abs()
        + 0.001 * (f.grin - g.grin).abs()
        + (f.pout - g.pout).abs()
        + 0.001 * (f.wink - g.wink).abs()
        + 0.001 * (f.brow - g.brow).abs()
        + 0.001 * (f.gaze_x - g.gaze_x).hypot(f.gaze_y - g.gaze_y)
        + 0.05 * (f.eye_openness - g.eye_openness).abs();
    head + face
}

/// Frames that no plan may leave out: the first, the last, each first and last frame of a closure (the frames between
/// are held by being reused or split where they differ), and the neighbours of a closure.
fn mandatory(closed: &[bool]) -> Vec<usize> {
    let is_edge = |frame: usize| {
        let before = frame.checked_sub(1).is_some_and(|before| closed[before]);
        let after = closed.get(frame + 1).copied().unwrap_or(false);
        if closed[frame] { !before || !after } else { before || after }
    };
    (0..closed.len()).filter(|frame| *frame == 0 || *frame + 1 == closed.len() || is_edge(*frame)).collect()
}

/// Marks frames that look like the last rendered one; returns how many stay to be rendered.
fn reuse(frames: &mut [PlannedFrame], closed: &[bool]) -> usize {
    let (mut last, mut kept) = (0, 1);
    for frame in 1..frames.len() {
        let same_lips = closed[frame] == closed[last];
        if same_lips && distance(&frames[last], &frames[frame]) < VISIBLE {
            frames[frame].source = FrameSource::Reuse;
        } else {
            (last, kept) = (frame, kept + 1);
        }
    }
    kept
}

/// A stretch between two rendered frames and the frame inside it that a blend would miss most.
struct Stretch {
    error: f32,
    from: usize,
    to: usize,
    worst: usize,
}

impl Ord for Stretch {
    fn cmp(&self, other: &Self) -> Ordering {
        // The larger error first, the earlier stretch among equals: the order is total, so plans repeat.
        self.error.total_cmp(&other.error).then_with(|| other.from.cmp(&self.from))
    }
}

impl PartialOrd for Stretch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Stretch {}

/// Renders the mandatory frames and as many others as the budget allows, the most telling first; blends the rest.
fn thin_out(frames: &mut [PlannedFrame], closed: &[bool], affordable: usize) {
    let mut rendered = vec![false; frames.len()];
    let fixed = mandatory(closed);
    fixed.iter().for_each(|frame| rendered[*frame] = true);
    let mut stretches: BinaryHeap<Stretch> =
        fixed.windows(2).filter_map(|pair| stretch(frames, pair[0], pair[1])).collect();
    let mut count = fixed.len();
    while count < affordable {
        let Some(Stretch { from, to, worst, .. }) = stretches.pop() else { break };
        rendered[worst] = true;
        count += 1;
        stretches.extend(stretch(frames, from, worst));
        stretches.extend(stretch(frames, worst, to));
    }
    let mut from = 0;
    for to in (1..frames.len()).filter(|frame| rendered[*frame]).collect::<Vec<_>>() {
        let (first, last) = (frames[from], frames[to]);
        for (step, frame) in frames[from + 1..to].iter_mut().enumerate() {
            let weight = (step + 1) as f32 / (to - from) as f32;
            let still = distance(&first, &last) < VISIBLE && distance(&first, frame) < VISIBLE;
            frame.source = if still { FrameSource::Reuse } else { FrameSource::Blend { weight } };
        }
        from = to;
    }
    for (frame, rendered) in frames.iter_mut().zip(rendered) {
        if rendered {
            frame.source = FrameSource::Render;
        }
    }
}

/// The stretch between two rendered frames; none where nothing lies between.
fn stretch(frames: &[PlannedFrame], from: usize, to: usize) -> Option<Stretch> {
    let miss = |frame: usize| {
        // What a blend shows at best is one of its two ends, or both as ghosts: its error is the way to the nearer one,
        // and for equal ways the longer stretch is the worse.
        distance(&frames[from], &frames[frame]).min(distance(&frames[to], &frames[frame]))
    };
    let ends = distance(&frames[from], &frames[to]);
    let (worst, error) = (from + 1..to).map(|frame| (frame, miss(frame))).max_by(|(a, x), (b, y)| {
        x.total_cmp(y).then_with(|| centred(*b, from, to).cmp(&centred(*a, from, to)))
    })?;
    Some(Stretch { error: error + 0.1 * ends, from, to, worst })
}

/// How far a frame lies from its stretch's middle: among equals the middle splits best.
fn centred(frame: usize, from: usize, to: usize) -> usize {
    (2 * frame).abs_diff(from + to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direction::camera::Camera;
    use crate::direction::expression::Expression;
    use crate::direction::motion::Motion;
    use crate::direction::{Direction, direct};
    use crate::types::{Pcm, Phoneme, SAMPLE_RATE, Timeline};

    /// 45 s of babbling at 24 frames a second, with a closure every 0.72 s and pauses.
    fn babble(motion: Motion) -> Directed {
        let total = 45 * u64::from(SAMPLE_RATE);
        let mut phonemes = Vec::new();
        let symbols = ["m", "ɑ", "s", "i", " ", "t", "O", "n", "b", "u", "l", "A"];
        let (mut at, mut place) = (0, 0);
        while at + 2400 < total {
            let length = if symbols[place % symbols.len()] == " " { 8000 } else { 1920 };
            let end = (at + length).min(total);
            phonemes.push(Phoneme { symbol: symbols[place % symbols.len()].into(), start: at, end });
            (at, place) = (end, place + 1);
        }
        let timeline = Timeline::new(SAMPLE_RATE, total, phonemes).unwrap();
        let samples = (0..total).map(|n| (n as f32 * 0.03).sin() * 0.2).collect();
        direct(&Direction {
            timeline: &timeline,
            voice: &Pcm { sample_rate: SAMPLE_RATE, samples },
            duration: Duration::from_secs(45),
            fps: 24,
            motion,
            expressions: &[Expression::Excited],
            camera: Camera::None,
            seed: 9,
        })
        .unwrap()
    }

    fn budget(per_frame: u64, left: Option<u64>) -> Budget {
        Budget { per_frame: Duration::from_millis(per_frame), left: left.map(Duration::from_secs) }
    }

    #[test]
    fn with_time_enough_or_no_deadline_every_frame_is_rendered() {
        for budget in [budget(5, Some(30)), budget(60, None), budget(0, Some(1))] {
            let planned = plan(babble(Motion::Still), budget);
            assert_eq!(planned.summary.rendered, 1080, "{budget:?}");
            assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
        }
    }

    #[test]
    fn a_slow_device_meets_the_deadline_and_keeps_every_lip_closure() {
        let directed = babble(Motion::ExcitedNodding);
        let closed = directed.closed.clone();
        assert!(closed.iter().filter(|closed| **closed).count() > 60);
        let planned = plan(directed, budget(60, Some(30)));
        let sources: Vec<FrameSource> = planned.plan.frames.iter().map(|frame| frame.source).collect();
        assert!(planned.summary.rendered <= 500, "{:?}", planned.summary);
        assert!(planned.summary.rendered >= 490, "time is left unused: {:?}", planned.summary);
        assert_eq!(planned.plan.first_unsourced(), None);
        for (frame, _) in closed.iter().enumerate().filter(|(_, closed)| **closed) {
            // Shown as rendered, or again from a rendered frame of the same closure.
            let shown = (0..=frame).rev().find(|f| sources[*f] == FrameSource::Render).unwrap();
            match sources[frame] {
                FrameSource::Render => {}
                FrameSource::Reuse => assert!(closed[shown], "frame {frame} shows {shown}"),
                FrameSource::Blend { .. } => {
                    let next = (frame..1080).find(|f| sources[*f] == FrameSource::Render).unwrap();
                    assert!(
                        closed[shown..=next].iter().all(|closed| *closed),
                        "blend across a closure at {frame}"
                    );
                }
            }
        }
        assert_eq!(planned.warnings[0].code, "frame_rate_reduced");
    }

    #[test]
    fn slow_motion_thins_out_before_fast_motion() {
        let mut directed = babble(Motion::Still);
        directed.closed.fill(false);
        for (place, frame) in directed.frames.iter_mut().enumerate() {
            frame.face = crate::types::FaceControls::REST;
            frame.pose.yaw =
                if place < 540 { place as f32 * 0.2 } else { 108.0 + (place - 540) as f32 * 2.0 };
        }
        let planned = plan(directed, budget(100, Some(36)));
        let rendered = |range: std::ops::Range<usize>| {
            planned.plan.frames[range].iter().filter(|frame| frame.source == FrameSource::Render).count()
        };
        assert!(
            rendered(540..1080) > 3 * rendered(0..540),
            "{} and {}",
            rendered(0..540),
            rendered(540..1080)
        );
    }

    #[test]
    fn a_still_face_is_reused_without_a_warning() {
        let mut directed = babble(Motion::Still);
        let first = directed.frames[0];
        directed.frames.fill(first);
        directed.closed.fill(false);
        let planned = plan(directed, budget(60, Some(30)));
        assert_eq!((planned.summary.rendered, planned.summary.reused), (1, 1079));
        assert!(planned.warnings.is_empty());
    }

    #[test]
    fn what_cannot_be_met_is_said_with_its_figures() {
        let planned = plan(babble(Motion::SlowSway), budget(1000, Some(3)));
        let warning = &planned.warnings[0];
        assert_eq!(warning.code, "budget_too_small");
        assert!(warning.message.contains("3s are left"), "{}", warning.message);
        assert_eq!(planned.plan.first_unsourced(), None);
    }

    #[test]
    fn plans_repeat() {
        let slow = budget(60, Some(30));
        assert_eq!(plan(babble(Motion::Emphatic), slow), plan(babble(Motion::Emphatic), slow));
    }
}
