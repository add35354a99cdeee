//! Which results of one slot agree, by what their checks saw. Pure: the same results give the same answer in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use crate::sink::{self, Manifest, Outcome, PublicKey, Unsigned};
use crate::types::{Sha256, SlotId};

mod group;

#[cfg(test)]
mod tests;

/// Results of distinct nodes that are compared at most. The groups of 32 results can be gone through whatever the results
/// are (at most 3^(32/3), some 120,000); more replicas of one slot than that say nothing more.
pub const MOST: usize = 32;
/// How far an embedding may be from length one, as the check of a result has it: rounding.
const UNIT: f64 = 1e-5;
/// Comes to a node as it came to the director, comments and layout included: says nothing of how the node renders.
const RECIPE: &str = "recipe.json";
const VIDEO: &str = "video.mp4";

/// A text that is said to be a signed result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What to call it in the answer: its file, or where it came from.
    pub name: String,
    /// What stands in it, byte for byte.
    pub text: String,
}

/// When results agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Whose results count; every node's whose signature holds where none is listed.
    pub known: Vec<PublicKey>,
    /// Two results agree where the cosine of their embeddings is above this.
    pub cosine: f64,
    /// So many in one group are an agreement.
    pub needs: NonZeroUsize,
}

impl Default for Terms {
    /// Three of the usual five replicas.
    fn default() -> Self {
        Self { known: Vec::new(), cosine: 0.95, needs: NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN) }
    }
}

/// What results come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// What they are results of; none where none counts.
    pub subject: Option<Subject>,
    /// The results that count, one of each node, in order of the nodes' ids.
    pub members: Vec<Member>,
    /// Each two of them once, by their places in `members`.
    pub pairs: Vec<Pair>,
    /// Whether the group has as many as are needed.
    pub is_reached: bool,
    /// Of the group, so many have the same files, all but the recipe's.
    pub identical: usize,
    /// And so many the same video.
    pub identical_videos: usize,
    /// The results that do not count, in order of their names.
    pub refused: Vec<Refused>,
}

/// What is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The slot.
    pub slot: SlotId,
    /// Of the recipe's canonical document.
    pub recipe: Sha256,
}

/// A result that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its candidate's.
    pub name: String,
    /// Who signed it.
    pub node: PublicKey,
    /// Of its video.
    pub video: Option<Sha256>,
    /// Whether it belongs to the largest group in which all agree with each other.
    pub is_in_group: bool,
}

/// Two results that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The places of both.
    pub of: (usize, usize),
    /// Of their embeddings; none where these cannot be compared.
    pub cosine: Option<f64>,
    /// Whether they agree.
    pub agrees: bool,
}

/// A result that does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Its candidate's name.
    pub name: String,
    /// Who signed it, where the signature holds.
    pub node: Option<PublicKey>,
    /// Why.
    pub why: Refusal,
}

/// Why a result does not count.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is not what a node signed.
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
    /// Not one of those that are asked.
    #[error("node {0} is not among the known ones")]
    UnknownNode(PublicKey),
    /// There is no video.
    #[error("it has not completed: it {0}")]
    NotCompleted(&'static str),
    /// The check said nothing of what it saw.
    #[error("it holds no embedding of its video")]
    NoEmbedding,
    /// Not a direction.
    #[error("its embedding has length {0}, not 1")]
    NotUnit(f64),
    /// `result verify` would not let it pass either.
    #[error("it contradicts itself: {0}")]
    Contradiction(String),
    /// It is of something else than most are.
    #[error("it is of slot {} and recipe {}, more nodes have rendered another", .0.slot, .0.recipe)]
    OtherSubject(Subject),
    /// A node has one voice.
    #[error("node {0} has another result among these, written before it")]
    SecondOfNode(PublicKey),
}

impl Refusal {
    /// For machines.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "unsigned",
            Self::UnknownNode(_) => "unknown_node",
            Self::NotCompleted(_) => "not_completed",
            Self::NoEmbedding => "no_embedding",
            Self::NotUnit(_) => "not_unit",
            Self::Contradiction(_) => "contradiction",
            Self::OtherSubject(_) => "other_subject",
            Self::SecondOfNode(_) => "second_of_node",
        }
    }
}

/// More results than are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} nodes have results of one slot; accepted: at most {MOST}")]
pub struct TooMany(pub usize);

/// A result that may count.
struct Read {
    name: String,
    sha256: Sha256,
    manifest: Manifest,
}

impl Read {
    fn node(&self) -> PublicKey {
        self.manifest.node.id
    }

    fn subject(&self) -> Subject {
        Subject { slot: self.manifest.recipe_id, recipe: self.manifest.recipe.sha256 }
    }

    fn files(&self) -> BTreeMap<&str, Sha256> {
        let files = self.manifest.artifacts.iter().map(|file| (file.name.as_str(), file.sha256));
        files.filter(|(name, _)| *name != RECIPE).collect()
    }
}

/// Finds the largest group of `candidates` in which each two agree.
pub fn agree(candidates: Vec<Candidate>, terms: &Terms) -> Result<Agreement, TooMany> {
    let mut refused = Vec::new();
    let mut read = Vec::new();
    for Candidate { name, text } in candidates {
        let manifest = match sink::signed(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                refused.push(Refused { name, node: None, why: error.into() });
                continue;
            }
        };
        match usable(&manifest, terms) {
            Ok(()) => read.push(Read { name, sha256: Sha256::of(text.as_bytes()), manifest }),
            Err(why) => refused.push(Refused { name, node: Some(manifest.node.id), why }),
        }
    }
    let subject = most_rendered(&read);
    let (mut read, others): (Vec<Read>, Vec<Read>) =
        read.into_iter().partition(|read| Some(read.subject()) == subject);
    refused.extend(others.into_iter().map(|it| {
        let why = Refusal::OtherSubject(it.subject());
        Refused { node: Some(it.node()), why, name: it.name }
    }));
    // Whoever signs two results does not get to choose which one counts by what the others say.
    read.sort_by(|a, b| {
        let order = |it: &Read| (it.node().0, it.manifest.rendered_at, it.sha256);
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    let mut nodes = BTreeSet::new();
    let (read, seconds): (Vec<Read>, Vec<Read>) = read.into_iter().partition(|it| nodes.insert(it.node().0));
    refused.extend(seconds.into_iter().map(|it| {
        let why = Refusal::SecondOfNode(it.node());
        Refused { node: Some(it.node()), why, name: it.name }
    }));
    refused.sort_by_cached_key(|it| (it.name.clone(), it.why.to_string()));
    if read.len() > MOST {
        return Err(TooMany(read.len()));
    }
    Ok(compared(&read, subject, refused, terms))
}

/// What speaks against a signed result by itself.
fn usable(manifest: &Manifest, terms: &Terms) -> Result<(), Refusal> {
    let node = manifest.node.id;
    if !terms.known.is_empty() && !terms.known.contains(&node) {
        return Err(Refusal::UnknownNode(node));
    }
    match manifest.outcome {
        Outcome::Completed => {}
        Outcome::Failed { .. } => return Err(Refusal::NotCompleted("failed")),
        Outcome::Cancelled { .. } => return Err(Refusal::NotCompleted("was cancelled")),
    }
    let embedding = &manifest.verification.as_ref().ok_or(Refusal::NoEmbedding)?.embedding;
    if embedding.values().is_empty() {
        return Err(Refusal::NoEmbedding);
    }
    let length = embedding.cosine(embedding).sqrt();
    let is_unit = (length - 1.0).abs() <= UNIT; // false for NaN
    if !is_unit {
        return Err(Refusal::NotUnit(length));
    }
    match sink::contradictions(manifest).first() {
        Some(problem) => Err(Refusal::Contradiction(problem.to_string())),
        None => Ok(()),
    }
}

/// What most nodes have rendered; of several, the one with the smallest id.
fn most_rendered(read: &[Read]) -> Option<Subject> {
    let mut nodes: BTreeMap<Subject, BTreeSet<[u8; 32]>> = BTreeMap::new();
    for it in read {
        nodes.entry(it.subject()).or_default().insert(it.node().0);
    }
    let most = nodes.values().map(BTreeSet::len).max()?;
    nodes.into_iter().find(|(_, nodes)| nodes.len() == most).map(|(subject, _)| subject)
}

fn compared(read: &[Read], subject: Option<Subject>, refused: Vec<Refused>, terms: &Terms) -> Agreement {
    let mut pairs = Vec::new();
    for (second, b) in read.iter().enumerate() {
        for (first, a) in read[..second].iter().enumerate() {
            let cosine = cosine(&a.manifest, &b.manifest);
            let agrees = cosine.is_some_and(|cosine| cosine > terms.cosine);
            pairs.push(Pair { of: (first, second), cosine, agrees });
        }
    }
    let video = |it: &Read| it.files().get(VIDEO).copied();
    let videos: Vec<_> = read.iter().map(video).collect();
    let files: Vec<_> = read.iter().map(Read::files).collect();
    let agreeing = pairs.iter().filter(|pair| pair.agrees).map(|pair| pair.of);
    let group =
        group::largest(read.len(), agreeing, |members| most_alike(members.iter().map(|at| &videos[*at])));
    let member = |(at, it): (usize, &Read)| Member {
        name: it.name.clone(),
        node: it.node(),
        video: videos[at],
        is_in_group: group.contains(&at),
    };
    Agreement {
        subject,
        members: read.iter().enumerate().map(member).collect(),
        pairs,
        is_reached: group.len() >= terms.needs.get(),
        identical: most_alike(group.iter().map(|at| &files[*at])),
        identical_videos: most_alike(group.iter().map(|at| &videos[*at])),
        refused,
    }
}

/// None where the embeddings are of different models.
fn cosine(a: &Manifest, b: &Manifest) -> Option<f64> {
    let (a, b) = (&a.verification.as_ref()?.embedding, &b.verification.as_ref()?.embedding);
    (a.values().len() == b.values().len()).then(|| a.cosine(b))
}

/// How many are the same, of those of which there are most.
fn most_alike<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts.into_values().max().unwrap_or_default()
}
