//! Products of views against the definition, and what is refused.

use super::*;
use crate::simd::tests::runs_wide;

#[test]
fn products_follow_strides_and_keep_what_they_are_told() {
    let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2×3
    let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]; // 2×3, used transposed
    let (a, b) = (Matrix::dense(&a, 2, 3).unwrap(), Matrix::dense(&b, 2, 3).unwrap());
    let mut out = [10.0; 6];
    product(Target::onto(&mut out, 3), 2.0, a, b.t(), Threads::One).unwrap();
    assert_eq!(out, [24.0, 20.0, 10.0, 42.0, 32.0, 10.0]);
    product(Target::over(&mut out, 3), 1.0, a, b.t(), Threads::All).unwrap();
    assert_eq!(out, [7.0, 5.0, 10.0, 16.0, 11.0, 10.0]);
}

#[test]
fn products_of_strided_rows_are_those_of_the_definition() {
    let (rows, depth, columns) = (5, 7, 9);
    let a: Vec<f32> = (0..rows * (depth + 2)).map(|i| (i as f32 * 0.37).sin()).collect();
    let b: Vec<f32> = (0..depth * (columns + 3)).map(|i| (i as f32 * 0.11).cos()).collect();
    let mut out = vec![2.0; rows * (columns + 1)];
    let left = Matrix::new(&a, (rows, depth), depth + 2).unwrap();
    let right = Matrix::new(&b, (depth, columns), columns + 3).unwrap();
    product(Target::onto(&mut out, columns + 1), 1.0, left, right, Threads::One).unwrap();
    for row in 0..rows {
        for column in 0..columns {
            let sum: f32 = (0..depth).map(|k| a[row * (depth + 2) + k] * b[k * (columns + 3) + column]).sum();
            assert!((out[row * (columns + 1) + column] - sum - 2.0).abs() < 1e-5);
        }
    }
}

#[test]
fn nothing_of_no_depth_is_added() {
    let (a, b) = (Matrix::dense(&[], 40, 0).unwrap(), Matrix::dense(&[], 0, 3).unwrap());
    let mut out = [1.0; 120];
    product(Target::onto(&mut out, 3), 1.0, a, b, Threads::One).unwrap();
    assert_eq!(out, [1.0; 120]);
    product(Target::over(&mut out, 3), 1.0, a, b, Threads::All).unwrap();
    assert_eq!(out, [0.0; 120]);
}

#[test]
fn products_run_on_the_widest_vectors() {
    let values = [1.0; 40 * 40];
    let a = Matrix::dense(&values, 40, 40).unwrap();
    let mut out = vec![0.0; 40 * 40];
    runs_wide(&["Product"], || product(Target::over(&mut out, 40), 1.0, a, a.t(), Threads::All).unwrap());
    assert!(out.iter().all(|value| *value == 40.0));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let data = [0.0; 5];
    assert!(matches!(Matrix::dense(&data, 2, 3), Err(ShapeError::Outside { length: 5, .. })));
    assert!(Matrix::new(&data, (2, 2), usize::MAX).is_err());
    let square = Matrix::dense(&data, 2, 2).unwrap();
    let wide = Matrix::dense(&data, 1, 5).unwrap();
    let run = |length: usize, stride, b| {
        product(Target::over(&mut vec![0.0; length], stride), 1.0, square, b, Threads::One)
    };
    assert!(matches!(run(3, 2, square), Err(ShapeError::Outside { .. })));
    assert_eq!(run(4, 1, square), Err(ShapeError::Overlapping { columns: 2, stride: 1 }));
    let inner = run(10, 5, wide).unwrap_err();
    assert_eq!(inner.to_string(), "a product of 2x2 and 1x5: the inner sides differ");
    assert!(candle_core::Error::from(inner).to_string().starts_with(&inner.to_string()));
}
