//! Charts of the table: each measured figure beside its yardstick, as bars.

use std::path::Path;

use plotters::backend::SVGBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, TextStyle, WHITE};

/// Pixels: of a chart, of its margin on the left, of a bar, and from one pair of bars to the next.
const WIDTH: u32 = 960;
const LEFT: i32 = 380;
const RIGHT: i32 = 150;
const BAR: i32 = 14;
const PAIR: i32 = 44;
const TOP: i32 = 56;

const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);
const THEIRS: RGBColor = RGBColor(0xb0, 0xb7, 0xbf);
const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);

/// Two figures of one thing.
pub struct Pair {
    pub what: String,
    /// Ours and the yardstick's, and how they are written.
    pub ours: (f64, String),
    pub theirs: (f64, String),
}

/// Draws pairs of bars into a file. Each pair has a scale of its own: what counts is how the two compare.
pub fn draw(file: &Path, title: &str, pairs: &[Pair]) -> Result<(), Box<dyn std::error::Error>> {
    let height = TOP + PAIR * i32::try_from(pairs.len())? + 12;
    let area = SVGBackend::new(file, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| TextStyle::from(("sans-serif", size).into_font()).color(&INK);
    area.draw(&Text::new(title.to_owned(), (16, 18), text(18)))?;
    let right = i32::try_from(WIDTH)? - RIGHT;
    for (at, pair) in pairs.iter().enumerate() {
        let top = TOP + PAIR * i32::try_from(at)?;
        let label = text(13).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(pair.what.clone(), (LEFT - 12, top + BAR), label))?;
        let most = pair.ours.0.max(pair.theirs.0);
        for (line, (value, written), color) in [(0, &pair.ours, OURS), (1, &pair.theirs, THEIRS)] {
            let (from, to) = (top + line * (BAR + 2), top + line * (BAR + 2) + BAR);
            let end = LEFT + ((right - LEFT) as f64 * value / most) as i32;
            area.draw(&Rectangle::new([(LEFT, from), (end, to)], color.filled()))?;
            let figure = text(12).pos(Pos::new(HPos::Left, VPos::Center));
            area.draw(&Text::new(written.clone(), (end + 8, from + BAR / 2), figure))?;
        }
    }
    area.present()?;
    Ok(())
}
