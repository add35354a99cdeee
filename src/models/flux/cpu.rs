//! The hot loops on a processor, on plain slices: matrix products, row-wise operations, attention, 3×3 convolution.
//!
//! candle's own element-wise operations are single-threaded scalar passes over memory; at Flux's widths they would cost
//! as much as the matrix products. Everything here is deterministic for a given number of threads: reductions run in a
//! fixed order, and work is split by rows, never inside a sum. Knows slices and rayon, nothing of tensors or models.

pub mod attention;
pub mod conv;
pub mod gemm;
pub mod lanes;
pub mod rows;
