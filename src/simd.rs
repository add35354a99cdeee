//! Which vectors the processor has, and the one place where a kernel is compiled for each kind and the widest is picked.
//!
//! Every vectorised loop of the crate goes through [`vectorised`], or asks [`widest`]. pulp's own choice is not used: it
//! leaves AVX2 out unless a feature is on that would rebuild gemm and candle for nothing else, so a loop behind it runs
//! one number at a time on every machine that has AVX2 and no AVX-512.
//!
//! The environment variable `VORTEX_SIMD` (`avx512`, `avx2`, `baseline`) forbids anything wider, for the whole process:
//! a machine with AVX-512 then runs what a machine without it would. The matrix products of the `gemm` crate choose for
//! themselves and do not heed it.

use std::sync::OnceLock;

use pulp::{Simd, WithSimd};

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

/// Runs `op` compiled for the widest vectors that may be used.
pub(crate) fn vectorised<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(test)]
    tests::note(lanes());
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
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::process::Command;

    use super::*;

    thread_local! {
        /// How wide the vectors of each dispatch on this thread were, while somebody asks.
        static NOTED: RefCell<Option<Vec<usize>>> = const { RefCell::new(None) };
    }

    pub(super) fn note(lanes: usize) {
        NOTED.with_borrow_mut(|noted| {
            if let Some(noted) = noted {
                noted.push(lanes);
            }
        });
    }

    /// How many `f32` the vectors of each dispatch held that `kernel` made on this thread.
    pub(crate) fn lanes_of(kernel: impl FnOnce()) -> Vec<usize> {
        NOTED.set(Some(Vec::new()));
        kernel();
        NOTED.take().unwrap_or_default()
    }

    /// How many `f32` a vector must hold on this machine, by the standard library's detection.
    pub(crate) fn expected_lanes() -> usize {
        let limit = std::env::var(LIMIT).unwrap_or_else(|_| "avx512".to_owned());
        #[cfg(target_arch = "x86_64")]
        {
            if limit == "avx512" && std::arch::is_x86_feature_detected!("avx512f") {
                return 16;
            }
            if limit != "baseline" && std::arch::is_x86_feature_detected!("avx2") {
                return 8;
            }
        }
        if cfg!(target_arch = "aarch64") { 4 } else { 1 }
    }

    #[test]
    fn the_widest_vectors_of_the_machine_are_used() {
        assert_eq!(lanes(), expected_lanes());
        assert_eq!(lanes_of(|| assert_eq!(vectorised(Sum(&[1.0; 37])), 37.0)), [expected_lanes()]);
    }

    struct Sum<'a>(&'a [f32]);

    impl WithSimd for Sum<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let (vectors, rest) = S::as_simd_f32s(self.0);
            let sum = vectors.iter().fold(simd.splat_f32s(0.0), |sum, vector| simd.add_f32s(sum, *vector));
            simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()
        }
    }

    #[test]
    fn limits_are_named_and_nothing_else_is() {
        let found = ["avx2", "AVX512", " baseline ", "sse", "", "avx"].map(limit_named);
        let [avx2, avx512, baseline] = [Width::Avx2, Width::Avx512, Width::Baseline].map(Some);
        assert_eq!(found, [avx2, avx512, baseline, None, None, None]);
    }

    /// The kernels' own tests once more with narrower vectors, in processes that have no wider ones: a machine with
    /// AVX-512 answers for those without.
    #[test]
    fn the_kernels_pass_their_tests_on_narrower_vectors() {
        if std::env::var_os(LIMIT).is_some() {
            return;
        }
        for width in Width::ALL.into_iter().filter(|width| *width < detected()) {
            let run = Command::new(std::env::current_exe().unwrap())
                .args(["simd::tests", "models::kokoro::ops::", "models::kernels::", "media::colour::"])
                .env(LIMIT, width.name())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success(), "{}: {said}", width.name());
            assert!(
                said.contains("models::kokoro::ops::tests::every_kernel_runs_on_the_widest_vectors ... ok")
            );
        }
    }
}
