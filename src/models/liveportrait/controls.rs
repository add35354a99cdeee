//! Editing controls: what smile, lips, gaze and the others add to the expression of single key points.
//!
//! The numbers are those of the published gradio pipeline; they speak of its 21 key points, and networks with fewer lose
//! the additions to those that they lack. Pure arithmetic.

use crate::types::{FaceControls, HeadPose};

const X: usize = 0;
const Y: usize = 1;
const Z: usize = 2;

/// An addition per unit of a control: to which key point, along which axis, how much.
type Addition = (usize, usize, f32);

const SMILE: [Addition; 8] = [
    (20, Y, -0.01),
    (14, Y, -0.02),
    (17, Y, 0.0065),
    (17, Z, 0.003),
    (13, Y, -0.00275),
    (16, Y, -0.00275),
    (3, Y, -0.0035),
    (7, Y, -0.0035),
];
const LIPS: [Addition; 3] = [(19, Y, 0.001), (19, Z, 0.0001), (17, Y, -0.0001)];
const PURSE: [Addition; 4] = [(14, Y, 0.001), (3, Y, -0.0005), (7, Y, -0.0005), (17, Z, -0.0005)];
const GRIN: [Addition; 3] = [(20, Z, -0.001), (20, Y, -0.001), (14, Y, -0.001)];
const POUT: [Addition; 1] = [(19, X, 1.0)];
const WINK: [Addition; 5] =
    [(11, Y, 0.001), (13, Y, -0.0003), (17, X, 0.0003), (17, Y, 0.0003), (3, Y, -0.0003)];
const BROW_UP: [Addition; 2] = [(1, Y, 0.001), (2, Y, -0.001)];
const BROW_DOWN: [Addition; 4] = [(1, X, -0.001), (2, X, 0.001), (1, Y, 0.0003), (2, Y, -0.0003)];
const GAZE_RIGHT: [Addition; 2] = [(11, X, 0.0007), (15, X, 0.001)];
const GAZE_LEFT: [Addition; 2] = [(11, X, 0.001), (15, X, 0.0007)];
const GAZE_Y: [Addition; 2] = [(11, Y, -0.001), (15, Y, -0.001)];
const MOVE_X: [Addition; 1] = [(5, X, 1.0)];
const MOVE_Y: [Addition; 1] = [(5, Y, 1.0)];

/// Adds what `face` and the shift of `pose` ask for to an expression.
pub(super) fn apply(face: &FaceControls, pose: &HeadPose, expression: &mut [[f32; 3]]) {
    let controls: [(f32, &[Addition]); 11] = [
        (face.smile, &SMILE),
        (face.lips, &LIPS),
        (face.purse, &PURSE),
        (face.grin, &GRIN),
        (face.pout, &POUT),
        (face.wink, &WINK),
        (face.brow, if face.brow > 0.0 { &BROW_UP } else { &BROW_DOWN }),
        (face.gaze_x, if face.gaze_x > 0.0 { &GAZE_RIGHT } else { &GAZE_LEFT }),
        (face.gaze_y, &GAZE_Y),
        (pose.shift_x, &MOVE_X),
        (pose.shift_y, &MOVE_Y),
    ];
    for (value, additions) in controls {
        for (point, axis, per_unit) in additions {
            if let Some(point) = expression.get_mut(*point) {
                point[*axis] += value * per_unit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(change: impl FnOnce(&mut FaceControls, &mut HeadPose)) -> Vec<(usize, usize, f32)> {
        let (mut face, mut pose) = (FaceControls::REST, HeadPose::REST);
        change(&mut face, &mut pose);
        let mut expression = vec![[0.0; 3]; 21];
        apply(&face, &pose, &mut expression);
        let values = expression.iter().enumerate();
        let parts = values
            .flat_map(|(point, parts)| parts.iter().enumerate().map(move |(axis, v)| (point, axis, *v)));
        parts.filter(|(_, _, value)| *value != 0.0).collect()
    }

    #[track_caller]
    fn assert_adds(change: impl FnOnce(&mut FaceControls, &mut HeadPose), expected: &[(usize, usize, f32)]) {
        let added = added(change);
        let agree = |(a, b): (&(usize, usize, f32), &(usize, usize, f32))| {
            (a.0, a.1) == (b.0, b.1) && (a.2 - b.2).abs() < 1e-7
        };
        assert!(added.len() == expected.len() && added.iter().zip(expected).all(agree), "{added:?}");
    }

    #[test]
    fn rest_adds_nothing() {
        assert_eq!(added(|_, _| {}), []);
    }

    #[test]
    fn controls_reach_their_key_points() {
        assert_adds(|face, _| face.lips = -90.0, &[(17, Y, 0.009), (19, Y, -0.09), (19, Z, -0.009)]);
        assert_adds(|face, _| face.pout = 0.05, &[(19, X, 0.05)]);
        assert_adds(|_, pose| (pose.shift_x, pose.shift_y) = (0.1, -0.2), &[(5, X, 0.1), (5, Y, -0.2)]);
        assert_adds(|face, _| face.brow = 10.0, &[(1, Y, 0.01), (2, Y, -0.01)]);
        assert_adds(
            |face, _| face.brow = -10.0,
            &[(1, X, 0.01), (1, Y, -0.003), (2, X, -0.01), (2, Y, 0.003)],
        );
        assert_adds(|face, _| face.gaze_x = 10.0, &[(11, X, 0.007), (15, X, 0.01)]);
        assert_adds(|face, _| face.gaze_x = -10.0, &[(11, X, -0.01), (15, X, -0.007)]);
        assert_eq!(added(|face, _| face.smile = 1.0).len(), SMILE.len());
    }

    #[test]
    fn fewer_key_points_lose_only_their_own() {
        let mut expression = vec![[0.0; 3]; 6];
        let face = FaceControls { smile: 1.0, pout: 1.0, ..FaceControls::REST };
        apply(&face, &HeadPose { shift_x: 0.5, ..HeadPose::REST }, &mut expression);
        assert_eq!((expression[3][Y], expression[5][X]), (-0.0035, 0.5));
    }
}
