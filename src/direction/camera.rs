//! Camera moves: what part of the finished frame is seen.

use crate::types::{CameraView, names};

use super::expression::smoothstep;

names! {
    /// A camera move.
    Camera, "a camera motion" {
        /// The whole frame throughout.
        None => "none",
        /// Slowly nearer.
        SlightZoomIn => "slight_zoom_in",
        /// Slowly further away.
        SlightZoomOut => "slight_zoom_out",
        /// From the right of the picture to its left.
        PanLeft => "pan_left",
        /// From the left of the picture to its right.
        PanRight => "pan_right",
    }
}

/// "Slight": an eighth. A pan needs as much magnification, to have room to move in.
const ZOOM: f32 = 1.125;
/// How far a pan's centre lies off the middle: the view never leaves the frame, (1 − 1/ZOOM)/2 to each side.
const PAN: f32 = (1.0 - 1.0 / ZOOM) / 2.0;

/// The view at `at` (0 … 1 of the video).
pub(crate) fn view(camera: Camera, at: f32) -> CameraView {
    let t = smoothstep(at);
    let (zoom, pan_x) = match camera {
        Camera::None => return CameraView::WHOLE,
        Camera::SlightZoomIn => (1.0 + (ZOOM - 1.0) * t, 0.0),
        Camera::SlightZoomOut => (ZOOM + (1.0 - ZOOM) * t, 0.0),
        Camera::PanLeft => (ZOOM, PAN - 2.0 * PAN * t),
        Camera::PanRight => (ZOOM, -PAN + 2.0 * PAN * t),
    };
    CameraView { zoom, pan_x, pan_y: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_view_leaves_the_frame() {
        for camera in Camera::ALL {
            for step in 0..=100 {
                let view = view(camera, step as f32 / 100.0);
                let half = 0.5 / view.zoom;
                assert!(
                    view.zoom >= 1.0 && view.pan_x.abs() + half <= 0.5 + 1e-6,
                    "{camera} at {step} %: {view:?}"
                );
            }
        }
    }

    #[test]
    fn moves_go_where_their_names_say() {
        assert!(view(Camera::SlightZoomIn, 1.0).zoom > view(Camera::SlightZoomIn, 0.0).zoom);
        assert!(view(Camera::SlightZoomOut, 1.0).zoom < view(Camera::SlightZoomOut, 0.0).zoom);
        assert!(view(Camera::PanLeft, 1.0).pan_x < view(Camera::PanLeft, 0.0).pan_x);
        assert!(view(Camera::PanRight, 1.0).pan_x > view(Camera::PanRight, 0.0).pan_x);
    }
}
