//! Which vectors the processor has, and the one place where a kernel is compiled for each kind and the widest is picked.
//!
//! Every vectorised loop of the crate goes through [`vectorised`], as a type with `WithSimd` or as a function that `kernel!`
//! makes one of; the tests beside this file find those that have no test of their width. pulp's own choice is not used: it
//! leaves AVX2 out unless a feature is on that would rebuild candle for nothing else, so a loop behind it runs
//! one number at a time on every machine that has AVX2 and no AVX-512.
//!
//! The environment variable `VORTEX_SIMD` (`avx512`, `avx2`, `baseline`) forbids anything wider, for the whole process:
//! a machine with AVX-512 then runs what a machine without it would.

mod ahead;
mod dot;
mod turn;

use std::sync::OnceLock;

use pulp::{Simd, WithSimd};

pub(crate) use ahead::{Ahead, Coming};
pub(crate) use dot::{BLOCK, LEFT, TALLEST, Weights, dot, lay_out};
pub(crate) use turn::{Row, SIDE, turn};

/// The variable that forbids wider vectors.
pub(crate) const LIMIT: &str = "VORTEX_SIMD";

/// A kind of vectors, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    /// What the compiler's target guarantees: one number at a time on x86-64, 128 bits of NEON on aarch64.
    Baseline,
    /// 256 bits with fused multiply-add.
    Avx2,
    /// 512 bits: the parts F, BW, CD, DQ and VL.
    Avx512,
}

impl Width {
    const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// As `VORTEX_SIMD` names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// The widest vectors that this processor has.
fn detected() -> Width {
    #[cfg(target_arch = "x86_64")]
    {
        if pulp::x86::V4::is_available() {
            return Width::Avx512;
        }
        if pulp::x86::V3::is_available() {
            return Width::Avx2;
        }
    }
    Width::Baseline
}

/// The widest vectors that kernels use: what the processor has, and `VORTEX_SIMD` allows. Read once.
pub(crate) fn widest() -> Width {
    static WIDEST: OnceLock<Width> = OnceLock::new();
    *WIDEST.get_or_init(|| {
        let limit = std::env::var(LIMIT).ok().and_then(|named| limit_named(&named));
        limit.map_or(detected(), |limit| limit.min(detected()))
    })
}

/// The value of `VORTEX_SIMD` where it names no kind of vectors and so forbids nothing.
pub(crate) fn unknown_limit() -> Option<String> {
    let named = std::env::var_os(LIMIT)?.to_string_lossy().into_owned();
    limit_named(&named).is_none().then_some(named)
}

fn limit_named(named: &str) -> Option<Width> {
    Width::ALL.into_iter().find(|width| width.name().eq_ignore_ascii_case(named.trim()))
}

/// A function of slices, which one lifetime has, compiled for each kind of vectors; a call takes the widest that may be
/// used. The body is plain Rust, its loops such as the compiler makes vector code of.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<$life:lifetime>($($arg:ident: $ty:ty),* $(,)?) $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name<$life>($($arg: $ty),*) {
            struct Op<$life> {
                $($arg: $ty),*
            }
            impl pulp::WithSimd for Op<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Self { $($arg),* } = self;
                    $body
                }
            }
            $crate::simd::vectorised(Op { $($arg),* });
        }
    };
}
pub(crate) use kernel;

/// Runs `op` compiled for the widest vectors that may be used.
pub(crate) fn vectorised<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(test)]
    tests::note::<Op>(lanes());
    dispatched(op)
}

fn dispatched<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    match widest() {
        Width::Avx512 => {
            if let Some(simd) = pulp::x86::V4::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        Width::Avx2 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        Width::Baseline => return Simd::vectorize(pulp::Scalar::new(), op),
    }
    pulp::Arch::new().dispatch(op)
}

/// How many `f32` one vector holds in a loop behind [`vectorised`].
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatched(Lanes)
}

#[cfg(test)]
pub(crate) mod tests;
