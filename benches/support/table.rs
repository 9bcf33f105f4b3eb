//! The table that a run ends with: what was measured, its yardstick, their ratio, the goal, and whether it is met.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::chart::{self, Pair};

/// What the table stands between in a document.
const BEGIN: &str = "<!-- what follows is written by the bench -->";
const END: &str = "<!-- what the bench writes ends here -->";

/// What a chart shows: rows of one unit, so that more is better in all of them or less is.
struct Chart {
    file: &'static str,
    title: &'static str,
    /// Whether it shows such figures.
    shows: fn(Figure) -> bool,
    /// The yardsticks whose rows it shows.
    yardsticks: &'static [&'static str],
}

const CHARTS: [Chart; 2] = [
    Chart {
        file: "http.svg",
        title: "Requests over HTTP: more is better",
        shows: |figure| matches!(figure, Figure::Rate(_)),
        yardsticks: &["bare axum", "bare axum with TLS", "the same as a component"],
    },
    Chart {
        file: "calls.svg",
        title: "One request: less is better",
        shows: |figure| matches!(figure, Figure::Time(_)),
        yardsticks: &["raw wasmtime", "one bare call", "two bare calls, nested", "a read", "warm, over HTTP"],
    },
];

/// Everything that was measured, in order.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    left_out: Vec<String>,
}

/// One thing that was measured.
pub struct Row {
    what: String,
    ours: Figure,
    yardstick: Option<(&'static str, Figure)>,
    goal: Option<Goal>,
}

/// A measured value.
#[derive(Clone, Copy)]
pub enum Figure {
    Time(Duration),
    /// How often in a second.
    Rate(f64),
    Bytes(f64),
}

#[derive(Clone, Copy)]
enum Goal {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    AtMost(Figure),
}

impl Row {
    pub fn new(what: impl Into<String>, ours: Figure) -> Self {
        Self { what: what.into(), ours, yardstick: None, goal: None }
    }

    /// Puts a yardstick beside the figure.
    pub fn against(self, name: &'static str, figure: Figure) -> Self {
        Self { yardstick: Some((name, figure)), ..self }
    }

    /// Wants no more than so many times the yardstick.
    pub fn ratio_at_most(self, ratio: f64) -> Self {
        Self { goal: Some(Goal::RatioAtMost(ratio)), ..self }
    }

    /// Wants no less than so many times the yardstick.
    pub fn ratio_at_least(self, ratio: f64) -> Self {
        Self { goal: Some(Goal::RatioAtLeast(ratio)), ..self }
    }

    /// Wants no more than this.
    pub fn at_most(self, figure: Figure) -> Self {
        Self { goal: Some(Goal::AtMost(figure)), ..self }
    }

    /// Returns what a chart shows of it, if it shows it.
    fn pair(&self, chart: &Chart) -> Option<Pair> {
        let is_shown = |(name, figure): &(&str, Figure)| chart.yardsticks.contains(name) && (chart.shows)(*figure);
        let (name, theirs) = self.yardstick.filter(is_shown)?;
        Some(Pair {
            what: self.what.clone(),
            ours: (self.ours.value(), self.ours.to_string()),
            theirs: (theirs.value(), format!("{theirs}, {name}")),
        })
    }

    fn ratio(&self) -> Option<f64> {
        let (_, yardstick) = self.yardstick?;
        Some(self.ours.value() / yardstick.value())
    }

    fn is_met(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::RatioAtMost(ratio) => self.ratio()? <= ratio,
            Goal::RatioAtLeast(ratio) => self.ratio()? >= ratio,
            Goal::AtMost(figure) => self.ours.value() <= figure.value(),
        })
    }

    fn cells(&self) -> [String; 6] {
        let yardstick = self.yardstick.map(|(name, figure)| format!("{figure}, {name}"));
        let met = self.is_met().map(|met| if met { "met" } else { "missed" }.to_owned());
        [
            self.what.clone(),
            self.ours.to_string(),
            yardstick.unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}×")).unwrap_or_default(),
            self.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            met.unwrap_or_default(),
        ]
    }
}

impl Table {
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Says under the table what was not measured, and why.
    pub fn leave_out(&mut self, what: String) {
        self.left_out.push(what);
    }

    /// Writes the table into a document, in place of what stands between its marks.
    pub fn write_into(&self, file: &Path) -> Result<(), String> {
        let failed = |why: std::io::Error| format!("{}: {why}", file.display());
        let text = fs::read_to_string(file).map_err(failed)?;
        let marks = text.find(BEGIN).zip(text.find(END)).filter(|(begin, end)| begin < end);
        let (begin, end) = marks.ok_or_else(|| format!("{} lacks {BEGIN} before {END}", file.display()))?;
        let (before, behind) = (&text[..begin + BEGIN.len()], &text[end..]);
        fs::write(file, format!("{before}\n{self}{behind}")).map_err(failed)
    }

    /// Draws the charts into this folder.
    pub fn draw(&self, folder: &Path) -> Result<(), String> {
        fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        for chart in &CHARTS {
            let pairs: Vec<Pair> = self.rows.iter().filter_map(|row| row.pair(chart)).collect();
            if !pairs.is_empty() {
                let Chart { file, title, .. } = chart;
                chart::draw(&folder.join(file), title, &pairs).map_err(|why| format!("{file}: {why}"))?;
            }
        }
        Ok(())
    }
}

impl Figure {
    /// Returns how often in a second something is done that takes so long.
    pub fn rate(time: Duration) -> Self {
        Figure::Rate(1.0 / time.as_secs_f64())
    }

    fn value(self) -> f64 {
        match self {
            Figure::Time(time) => time.as_secs_f64(),
            Figure::Rate(value) | Figure::Bytes(value) => value,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self {
            Figure::Time(time) => match time.as_secs_f64() {
                seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
                seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
                seconds => (seconds, "s"),
            },
            Figure::Rate(value) => (*value, "/s"),
            Figure::Bytes(value) if *value >= 1024.0 * 1024.0 => (value / (1024.0 * 1024.0), "MiB"),
            Figure::Bytes(value) => (value / 1024.0, "KiB"),
        };
        // Three digits say all that a measurement of this kind knows.
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.decimals$} {unit}")
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As much of it as two digits hold, and no zeros at the end.
            Goal::RatioAtMost(ratio) => write!(f, "≤ {}×", (ratio * 100.0).round() / 100.0),
            Goal::RatioAtLeast(ratio) => write!(f, "≥ {}×", (ratio * 100.0).round() / 100.0),
            Goal::AtMost(figure) => write!(f, "≤ {figure}"),
        }
    }
}

/// Markdown, and readable as it is.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["measured", "Cofferdam", "yardstick", "ratio", "goal", ""].map(str::to_owned);
        let cells: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: [usize; 6] =
            std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3));
        for (index, row) in cells.iter().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{}", "-".repeat(width + 2)))?;
                writeln!(f, "|")?;
            }
        }
        if !self.left_out.is_empty() {
            writeln!(f)?;
        }
        self.left_out.iter().try_for_each(|what| writeln!(f, "Left out: {what}."))
    }
}
