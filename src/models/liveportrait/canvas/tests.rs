//! Resampling in and out.

use super::*;

fn size(width: u32, height: u32) -> Resolution {
    Resolution::new(width, height).unwrap()
}

fn canvas(width: usize, height: usize, f: impl Fn(usize, usize) -> f32) -> Canvas {
    let mut data = taken(3 * width * height);
    for (place, pixel) in data.chunks_exact_mut(3).enumerate() {
        pixel.fill(f(place % width, place / width));
    }
    Canvas { width, height, data }
}

fn seen(canvas: &Canvas, camera: CameraView, size: Resolution) -> Vec<u8> {
    let mut out = vec![0; size.rgb_bytes().get() as usize];
    canvas.view(&camera, size, &mut out);
    out.as_chunks::<3>().0.iter().map(|[red, ..]| *red).collect()
}

#[test]
fn the_whole_view_cuts_off_fractions() {
    let canvas = canvas(2, 1, |x, _| if x == 0 { 10.9 } else { 255.0 });
    assert_eq!(seen(&canvas, CameraView::WHOLE, size(2, 1)), [10, 255]);
}

#[test]
fn a_pan_moves_by_parts_of_a_pixel() {
    let ramp = canvas(8, 1, |x, _| 10.0 * x as f32);
    let view = |pan_x| seen(&ramp, CameraView { pan_x, ..CameraView::WHOLE }, size(8, 1));
    // A quarter of a pixel to the right; at the edge the edge goes on.
    assert_eq!(view(0.25 / 8.0), [2, 12, 22, 32, 42, 52, 62, 70]);
    assert_eq!(view(-1.0 / 8.0), [0, 0, 10, 20, 30, 40, 50, 60]);
}

#[test]
fn zooming_in_keeps_the_middle_and_shows_less() {
    let ramp = canvas(9, 9, |x, _| 10.0 * x as f32);
    let row = &seen(&ramp, CameraView { zoom: 2.0, ..CameraView::WHOLE }, size(9, 9))[..9];
    assert_eq!(row, [20, 25, 30, 35, 40, 45, 50, 55, 60]);
}

#[test]
fn the_finished_size_may_differ() {
    let ramp = canvas(4, 4, |_, y| 40.0 * y as f32);
    assert_eq!(seen(&ramp, CameraView::WHOLE, size(1, 2)), [20, 100]);
    assert_eq!(seen(&ramp, CameraView::WHOLE, size(1, 8)), [0, 10, 30, 50, 70, 90, 110, 120]);
}

#[test]
fn blending_is_linear() {
    let blend = canvas(1, 1, |_, _| 100.0).blend(&canvas(1, 1, |_, _| 200.0), 0.25);
    assert_eq!(seen(&blend, CameraView::WHOLE, size(1, 1)), [125]);
}

#[test]
fn a_frame_with_a_hole_is_noticed() {
    assert!(canvas(2, 2, |_, _| 1.0).is_finite());
    assert!(!canvas(2, 2, |x, _| if x == 1 { f32::NAN } else { 1.0 }).is_finite());
}

fn picture(width: u32, height: u32, f: impl Fn(u32, u32) -> u8) -> RgbImage {
    let data = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| [f(x, y), 0, 255])
        .collect();
    RgbImage::new(size(width, height), data).unwrap()
}

#[test]
fn portraits_of_any_size_become_the_networks() {
    let same = picture(4, 2, |x, y| (10 * x + y) as u8);
    let (tensor, cut) = portrait(&same, [2, 4], &Device::Cpu).unwrap();
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    assert!(!cut && (values[5] - 11.0 / 255.0).abs() < 1e-7);
    assert_eq!((values[8], values[16]), (0.0, 1.0), "colours lie in planes");

    // Halving averages; every old pixel counts.
    let checks = picture(64, 64, |x, y| if (x + y) % 2 == 0 { 200 } else { 0 });
    let (tensor, _) = portrait(&checks, [8, 8], &Device::Cpu).unwrap();
    let red = tensor.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(red.iter().all(|value| (value - 100.0 / 255.0).abs() < 0.02), "{red:?}");

    for (width, height) in [(1, 1), (3, 200), (300, 7), (33, 31)] {
        let (tensor, cut) = portrait(&picture(width, height, |_, _| 255), [16, 16], &Device::Cpu).unwrap();
        let red = tensor.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(red.iter().all(|value| (value - 1.0).abs() < 1e-5), "{width}x{height}");
        assert_eq!(cut, width != height);
    }
}

#[test]
fn a_portrait_is_cut_to_its_middle() {
    let banner = picture(6, 2, |x, _| 40 * x as u8);
    let (tensor, cut) = portrait(&banner, [2, 2], &Device::Cpu).unwrap();
    let red = tensor.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(cut && (red[0] - 80.0 / 255.0).abs() < 1e-6 && (red[1] - 120.0 / 255.0).abs() < 1e-6, "{red:?}");
}
