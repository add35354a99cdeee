//! A drawing of what a frame's controls say: a plain face that needs no model, to check a direction by eye.
//!
//! Also the sheets: rows of frames side by side, whoever drew them. Writes no file.

use crate::types::{PlannedFrame, Resolution, RgbImage};

type Colour = [f32; 3];

const BACKGROUND: Colour = [222.0, 230.0, 238.0];
const SKIN: Colour = [240.0, 200.0, 160.0];
const DARK: Colour = [50.0, 40.0, 45.0];
const WHITE: Colour = [252.0, 252.0, 252.0];
const LIPS: Colour = [190.0, 80.0, 80.0];
const MOUTH: Colour = [90.0, 25.0, 30.0];
const SHIRT: Colour = [90.0, 120.0, 170.0];

/// A face that shows `frame`'s pose, controls and camera view, `side` pixels wide and high.
///
/// Exaggerated where the controls are small, so that a wrong sign is seen: it is a diagram, not a portrait.
pub(crate) fn draw(frame: &PlannedFrame, side: Resolution) -> RgbImage {
    let (width, height) = (side.width.get(), side.height.get());
    let mut data = Vec::with_capacity(side.rgb_bytes().get() as usize);
    // Two by two samples a pixel soften the edges.
    const OFFSETS: [(f32, f32); 4] = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
    for y in 0..height {
        for x in 0..width {
            let mut sum = [0.0f32; 3];
            for (dx, dy) in OFFSETS {
                let u = (x as f32 + dx) / width as f32 - 0.5;
                let v = (y as f32 + dy) / height as f32 - 0.5;
                let seen =
                    (u / frame.camera.zoom + frame.camera.pan_x, v / frame.camera.zoom + frame.camera.pan_y);
                let colour = colour_at(frame, 2.0 * seen.0, 2.0 * seen.1);
                sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value / OFFSETS.len() as f32);
            }
            data.extend(sum.map(|value| value.round() as u8));
        }
    }
    filled(side, data)
}

/// What is at (x, y) of the picture, both from −1 to 1, y downwards.
fn colour_at(frame: &PlannedFrame, x: f32, y: f32) -> Colour {
    let (pose, face) = (&frame.pose, &frame.face);
    // Into the head's own coordinates: shift, size, tilt.
    let (x0, y0) = ((x - pose.shift_x * 2.0) / pose.scale, (y + pose.shift_y * 2.0) / pose.scale);
    let (sin, cos) = pose.roll.to_radians().sin_cos();
    let (x1, y1) = (x0 * cos + y0 * sin, -x0 * sin + y0 * cos);
    // Turning and nodding slide the features over the head's ball.
    let (fx, fy) = (x1 - 0.6 * pose.yaw.to_radians().sin(), y1 - 0.8 * pose.pitch.to_radians().sin());

    if let Some(colour) = mouth_at(frame, fx, fy - 0.34).or_else(|| eyes_at(frame, fx, fy + 0.12)) {
        return colour;
    }
    let brow = fy + 0.32 + 0.004 * face.brow + 0.25 * (fx.abs() - 0.24).powi(2);
    if (0.1..0.38).contains(&fx.abs()) && brow.abs() < 0.022 {
        return DARK;
    }
    if ellipse(fx, fy - 0.1, 0.045, 0.06) {
        return SKIN.map(|value| value * 0.88);
    }
    if ellipse(x1, y1, 0.58, 0.74) {
        return SKIN;
    }
    if ellipse(x, y - 1.15, 0.85, 0.5) { SHIRT } else { BACKGROUND }
}

fn mouth_at(frame: &PlannedFrame, x: f32, y: f32) -> Option<Colour> {
    let face = &frame.face;
    let half_width = (0.2 + 0.007 * face.grin - 0.006 * face.purse + 0.03 * face.smile).max(0.06);
    // A smile lifts the corners.
    let y = y - 0.09 * face.smile * (1.0 - 2.0 * (x / half_width).powi(2));
    let opening = (0.0016 * face.lips).max(0.0);
    let thickness = if face.lips < -1.0 { 0.014 } else { 0.032 + 0.25 * face.pout };
    if opening > 0.004 && ellipse(x, y, half_width - 0.01, opening) {
        return Some(MOUTH);
    }
    ellipse(x, y, half_width + 0.01, opening + thickness).then_some(LIPS)
}

fn eyes_at(frame: &PlannedFrame, x: f32, y: f32) -> Option<Colour> {
    let face = &frame.face;
    let ex = x.abs() - 0.24;
    let lid = 0.15 * face.eye_openness;
    if lid < 0.01 {
        return (ex.abs() < 0.11 && y.abs() < 0.012).then_some(DARK);
    }
    if !ellipse(ex, y, 0.11, lid) {
        return None;
    }
    // `ex` is mirrored for the left eye, the gaze is not.
    let (gx, gy) = (face.gaze_x * 0.003 * x.signum(), -face.gaze_y * 0.002);
    Some(if ellipse(ex - gx, y - gy, 0.045, 0.045) { DARK } else { WHITE })
}

fn ellipse(x: f32, y: f32, a: f32, b: f32) -> bool {
    (x / a).powi(2) + (y / b).powi(2) <= 1.0
}

/// Rows of equally large pictures on one sheet, `gap` pixels apart; short rows end in the gap's colour. `None` where
/// there is no picture or their sizes differ.
pub(crate) fn sheet(rows: &[Vec<RgbImage>], gap: u32) -> Option<RgbImage> {
    let size = rows.iter().flatten().next()?.resolution();
    if rows.iter().flatten().any(|image| image.resolution() != size) {
        return None;
    }
    let columns = u32::try_from(rows.iter().map(Vec::len).max()?).ok()?;
    let (width, height) = (size.width.get(), size.height.get());
    let whole = Resolution::new(
        gap + columns.checked_mul(width + gap)?,
        gap + u32::try_from(rows.len()).ok()?.checked_mul(height + gap)?,
    )?;
    let stride = whole.width.get() as usize * 3;
    let mut data = vec![255u8; whole.rgb_bytes().get() as usize];
    for (row, images) in rows.iter().enumerate() {
        for (column, image) in images.iter().enumerate() {
            let top = gap as usize + row * (height + gap) as usize;
            let left = gap as usize + column * (width + gap) as usize;
            for (line, pixels) in image.data().chunks_exact(width as usize * 3).enumerate() {
                let start = (top + line) * stride + left * 3;
                data[start..start + pixels.len()].copy_from_slice(pixels);
            }
        }
    }
    Some(filled(whole, data))
}

/// The one place that knows that `data` has been filled to size.
fn filled(size: Resolution, data: Vec<u8>) -> RgbImage {
    RgbImage::new(size, data).unwrap_or_else(|error| unreachable!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CameraView, FaceControls, FrameSource, HeadPose};

    fn frame(face: FaceControls, pose: HeadPose) -> PlannedFrame {
        PlannedFrame { pose, face, camera: CameraView::WHOLE, source: FrameSource::Render }
    }

    fn share(image: &RgbImage, colour: Colour) -> f32 {
        let wanted = colour.map(|value| value as u8);
        let found = image.data().chunks_exact(3).filter(|pixel| *pixel == wanted).count();
        found as f32 / (image.data().len() / 3) as f32
    }

    fn drawn(face: FaceControls) -> RgbImage {
        draw(&frame(face, HeadPose::REST), Resolution::new(96, 96).unwrap())
    }

    #[test]
    fn an_open_mouth_and_open_eyes_are_seen() {
        let open = drawn(FaceControls { lips: 100.0, ..FaceControls::REST });
        let closed = drawn(FaceControls { lips: -45.0, ..FaceControls::REST });
        assert!(share(&open, MOUTH) > 0.01 && share(&closed, MOUTH) == 0.0);
        let awake = drawn(FaceControls { eye_openness: 0.9, ..FaceControls::REST });
        let blinking = drawn(FaceControls { eye_openness: 0.0, ..FaceControls::REST });
        assert!(share(&awake, WHITE) > 0.01 && share(&blinking, WHITE) == 0.0);
    }

    #[test]
    fn turning_moves_the_face_and_not_the_shirt() {
        let turned = |yaw| {
            draw(
                &frame(FaceControls::REST, HeadPose { yaw, ..HeadPose::REST }),
                Resolution::new(96, 96).unwrap(),
            )
        };
        let (left, right) = (turned(-20.0), turned(20.0));
        assert_ne!(left, right);
        assert_eq!(share(&left, SHIRT), share(&right, SHIRT));
    }

    #[test]
    fn sheets_take_only_pictures_of_one_size() {
        let image =
            |side| draw(&frame(FaceControls::REST, HeadPose::REST), Resolution::new(side, side).unwrap());
        let sheet_of = sheet(&[vec![image(8), image(8)], vec![image(8)]], 2).unwrap();
        assert_eq!(sheet_of.resolution(), Resolution::new(22, 22).unwrap());
        assert_eq!(&sheet_of.data()[(2 * 22 + 2) * 3..(2 * 22 + 2) * 3 + 24], &image(8).data()[..24]);
        assert!(sheet(&[vec![image(8), image(9)]], 2).is_none() && sheet(&[], 2).is_none());
    }
}
