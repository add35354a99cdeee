//! Several real nodes, each in a folder of its own, that come and go while a test runs.

use std::ops::Index;
use std::process::Command;

use super::served::{Place, Served};

mod tests;

/// Places, some of which serve.
pub struct Nodes {
    places: Vec<Place>,
    serving: Vec<Option<Served>>,
}

impl Nodes {
    /// None of these serves yet. [`Place::in_network`] says what they share; each may have a proxy of its own.
    pub fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let places: Vec<Place> = places.into_iter().collect();
        let serving = places.iter().map(|_| None).collect();
        Self { places, serving }
    }

    /// How many places there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Where a node serves or would serve from.
    pub fn place(&self, number: usize) -> &Place {
        &self.places[number]
    }

    /// The same, to be changed; what is changed counts at its next start.
    pub fn place_mut(&mut self, number: usize) -> &mut Place {
        &mut self.places[number]
    }

    /// Starts every node that does not serve; returns once all take slots.
    pub async fn start(&mut self) {
        let down: Vec<usize> = (0..self.count()).filter(|&number| !self.serves(number)).collect();
        for &number in &down {
            self.start_one(number);
        }
        for number in down {
            self[number].ready().await;
        }
    }

    /// Starts one; returns once it listens.
    pub fn start_one(&mut self, number: usize) {
        assert!(!self.serves(number), "node {number} serves");
        self.serving[number] = Some(self.places[number].serve());
    }

    /// The same by a command that was made for its place.
    pub fn start_by(&mut self, number: usize, command: Command) {
        assert!(!self.serves(number), "node {number} serves");
        self.serving[number] = Some(self.places[number].serve_by(command));
    }

    /// Whether this node has been started and neither killed nor stopped since; it may have ended by itself.
    pub fn serves(&self, number: usize) -> bool {
        self.serving[number].is_some()
    }

    /// Kills one where it stands; what it logged since its start.
    pub fn kill(&mut self, number: usize) -> String {
        self.serving[number].take().expect("it serves").kill()
    }

    /// Waits until one ends by itself; its exit code and what it logged since its start.
    pub fn ended(&mut self, number: usize) -> (Option<i32>, String) {
        self.serving[number].take().expect("it serves").ended_by_itself()
    }

    /// Tells one to stop; its exit code and what it logged since its start.
    pub fn stop(&mut self, number: usize) -> (Option<i32>, String) {
        self.serving[number].take().expect("it serves").stop()
    }
}

impl Index<usize> for Nodes {
    type Output = Served;

    /// A node that serves.
    fn index(&self, number: usize) -> &Served {
        self.serving[number].as_ref().expect("it serves")
    }
}
