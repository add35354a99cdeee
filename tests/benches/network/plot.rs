//! Plots as SVG: lines over two logarithmic axes.

use std::fmt::Write;
use std::path::Path;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 440.0;
/// Left, top, right, bottom: room for labels and for the lines' names.
const MARGINS: [f64; 4] = [84.0, 44.0, 200.0, 60.0];
/// Told apart by those who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 6] = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

pub struct Axis {
    pub label: &'static str,
    pub from: f64,
    pub to: f64,
    /// A number as it stands at the axis.
    pub shown: fn(f64) -> String,
}

pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub is_dashed: bool,
    /// Whether each point is a figure of its own.
    pub is_marked: bool,
}

pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Axis {
    /// Where a number stands between the ends.
    fn share(&self, number: f64) -> f64 {
        (number.max(self.from / 1e3) / self.from).ln() / (self.to / self.from).ln()
    }

    /// The round numbers, and whether each has a label.
    fn ticks(&self) -> Vec<(f64, bool)> {
        let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
        let wide = (self.to / self.from).log10() > 3.0;
        let in_it = |number: &f64| (self.from * 0.999..=self.to * 1.001).contains(number);
        let steps = decades.flat_map(|decade| (1..10).map(move |digit| (decade, digit)));
        let tick = |(decade, digit): (i32, i32)| {
            (f64::from(digit) * 10f64.powi(decade), digit == 1 || digit == 3 && !wide)
        };
        steps.map(tick).filter(|(number, _)| in_it(number)).collect()
    }
}

impl Plot {
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.svg()).unwrap();
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, top, right, bottom] = MARGINS;
        let (across, up) = (WIDTH - left - right, HEIGHT - top - bottom);
        (left + across * self.x.share(x), top + up * (1.0 - self.y.share(y)))
    }

    fn svg(&self) -> String {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        let (left, top) = self.place((self.x.from, self.y.to));
        let (right, bottom) = self.place((self.x.to, self.y.from));
        let _ = writeln!(
            out,
            "<clipPath id=\"inside\"><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/></clipPath>",
            right - left,
            bottom - top
        );
        self.axes(&mut out);
        for (number, line) in self.lines.iter().enumerate() {
            self.line(&mut out, number, line);
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, out: &mut String) {
        let (left, top) = self.place((self.x.from, self.y.to));
        let (right, bottom) = self.place((self.x.to, self.y.from));
        for (x, is_named) in self.x.ticks() {
            let (at, _) = self.place((x, self.y.from));
            stroke(out, [at, top, at, bottom], is_named);
            if is_named {
                text(out, (at, bottom + 20.0), "middle", &(self.x.shown)(x));
            }
        }
        for (y, is_named) in self.y.ticks() {
            let (_, at) = self.place((self.x.from, y));
            stroke(out, [left, at, right, at], is_named);
            if is_named {
                text(out, (left - 8.0, at + 4.0), "end", &(self.y.shown)(y));
            }
        }
        let (width, height) = (right - left, bottom - top);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"none\" stroke=\"#444444\"/>"
        );
        let (middle, side) = ((left + right) / 2.0, (top + bottom) / 2.0);
        text(out, (middle, HEIGHT - 16.0), "middle", self.x.label);
        text(out, (left, 24.0), "start", &self.title);
        let _ = writeln!(
            out,
            "<text transform=\"translate(20 {side:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.y.label
        );
    }

    fn line(&self, out: &mut String, number: usize, line: &Line) {
        let colour = COLOURS[number % COLOURS.len()];
        let dashes = if line.is_dashed { " stroke-dasharray=\"6 4\"" } else { "" };
        let places: Vec<(f64, f64)> = line.points.iter().map(|point| self.place(*point)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}");
        let _ =
            writeln!(out, "<polyline points=\"{}\" {style} clip-path=\"url(#inside)\"/>", points.join(" "));
        if line.is_marked {
            let inside = line.points.iter().zip(places).filter(|((_, y), _)| *y >= self.y.from);
            for (x, y) in inside.map(|(_, place)| place) {
                let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
            }
        }
        let (x, y) = (WIDTH - MARGINS[2] + 14.0, MARGINS[1] + 12.0 + 22.0 * number as f64);
        let (from, to) = (x, x + 22.0);
        let _ = writeln!(out, "<polyline points=\"{from:.1},{y:.1} {to:.1},{y:.1}\" {style}/>");
        text(out, (x + 28.0, y + 4.0), "start", &line.name);
    }
}

fn stroke(out: &mut String, [x1, y1, x2, y2]: [f64; 4], is_named: bool) {
    let colour = if is_named { "#bbbbbb" } else { "#ececec" };
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}
