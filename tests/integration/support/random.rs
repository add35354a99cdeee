//! Random numbers from a seed that is printed, so that what went wrong can be tried again.

/// A generator of random numbers (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// With the seed that `VORTEX_SOAK_SEED` names, else one by the time of day; printed.
    pub fn seeded(what: &str) -> Self {
        let seed = std::env::var("VORTEX_SOAK_SEED").map_or_else(
            |_| vortex_node::clock::unix_time().as_nanos() as u64,
            |seed| seed.parse().expect("VORTEX_SOAK_SEED is a number"),
        );
        println!("{what}: seed {seed}; VORTEX_SOAK_SEED={seed} draws the same again");
        Self(seed)
    }

    /// Another one that goes on by itself.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
