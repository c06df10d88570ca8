//! [`csv`]: every figure of a report that JSON has, a line each.

use serde_json::Value;

use super::report::{Ratios, Report};
use crate::fault::Fault;

/// The columns. What a figure does not have is left empty.
const HEADER: &str = "figure,name,larder,unit,capacity,hit_ratio,byte_hit_ratio,value";

/// A line of CSV.
#[derive(Default)]
struct Line<'a> {
    figure: &'a str,
    name: &'a str,
    larder: Option<bool>,
    unit: &'a str,
    capacity: Option<u64>,
    hit_ratio: Option<f64>,
    byte_hit_ratio: Option<f64>,
    value: String,
}

impl Line<'_> {
    fn with(self, ratios: Ratios) -> Self {
        Line {
            hit_ratio: Some(ratios.hit_ratio),
            byte_hit_ratio: Some(ratios.byte_hit_ratio),
            ..self
        }
    }

    fn text(&self) -> String {
        [
            quoted(self.figure),
            quoted(self.name),
            written(self.larder),
            quoted(self.unit),
            written(self.capacity),
            written(self.hit_ratio),
            written(self.byte_hit_ratio),
            quoted(&self.value),
        ]
        .join(",")
    }
}

fn written(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A table with a header, in which each figure is a line.
pub(super) fn csv(report: &Report) -> Result<String, Fault> {
    let mut lines = vec![HEADER.to_owned()];
    trace(report, &mut lines);
    simulated(report, &mut lines);
    curves(report, &mut lines);
    recommended(report, &mut lines);
    if let Some(driven) = &report.driven {
        driven_lines(&serde_json::to_value(driven)?, &mut lines);
    }
    Ok(lines.join("\n"))
}

/// Every figure of a drive, as JSON has it.
fn driven_lines(driven: &Value, lines: &mut Vec<String>) {
    flat("", driven, &mut |name, value| {
        let figure = "driven";
        lines.push(
            Line {
                figure,
                name,
                value,
                ..Line::default()
            }
            .text(),
        );
    });
}

fn trace(report: &Report, lines: &mut Vec<String>) {
    let mut tell = |name, value: Option<String>| {
        if let Some(value) = value {
            let figure = "trace";
            lines.push(
                Line {
                    figure,
                    name,
                    value,
                    ..Line::default()
                }
                .text(),
            );
        }
    };
    tell("format", report.format.clone());
    for (name, value) in [
        ("accesses", report.accesses),
        ("reads", report.reads),
        ("keys", report.keys),
        ("bad_lines", report.bad_lines),
    ] {
        tell(name, Some(value.to_string()));
    }
    tell("bytes", report.bytes.map(|bytes| bytes.to_string()));
    tell("sample_rate", Some(report.sample_rate.to_string()));
}

fn simulated(report: &Report, lines: &mut Vec<String>) {
    for at in &report.capacities {
        let line = |name, larder, hit_ratio| Line {
            figure: "simulated",
            name,
            larder,
            unit: "entries",
            capacity: Some(at.entries),
            hit_ratio: Some(hit_ratio),
            ..Line::default()
        };
        for of in &at.policies {
            lines.push(line(of.policy, Some(of.larder), of.hit_ratio).text());
        }
        lines.push(line("optimum", None, at.optimum).text());
    }
    for at in &report.capacities_in_bytes {
        let line = |name, larder| Line {
            figure: "simulated",
            name,
            larder,
            unit: "bytes",
            capacity: Some(at.bytes),
            ..Line::default()
        };
        for of in &at.policies {
            lines.push(line(of.policy, Some(of.larder)).with(of.ratios).text());
        }
        lines.push(line("reference", None).with(at.reference).text());
    }
}

fn curves(report: &Report, lines: &mut Vec<String>) {
    let line = |figure, name, larder, unit, capacity| Line {
        figure,
        name,
        larder: Some(larder),
        unit,
        capacity: Some(capacity),
        ..Line::default()
    };
    let by_entries = |figure, name, larder, points: &[super::report::Point], lines: &mut Vec<String>| {
        for point in points {
            let mut line = line(figure, name, larder, "entries", point.entries);
            line.hit_ratio = Some(point.hit_ratio);
            lines.push(line.text());
        }
    };
    let by_bytes = |figure, name, larder, points: &[super::report::BytePoint], lines: &mut Vec<String>| {
        for point in points {
            let line = line(figure, name, larder, "bytes", point.bytes);
            lines.push(line.with(point.ratios).text());
        }
    };
    by_entries("curve", "LRU", true, &report.lru_curve, lines);
    by_bytes("curve", "LRU", true, &report.lru_curve_in_bytes, lines);
    for curve in &report.sampled_curves {
        by_entries("sampled", curve.policy, curve.larder, &curve.by_entries, lines);
        by_bytes("sampled", curve.policy, curve.larder, &curve.by_bytes, lines);
    }
}

fn recommended(report: &Report, lines: &mut Vec<String>) {
    let recommended = &report.recommended;
    for (name, unit, capacity) in [
        (
            "doubling_gains_under_a_point",
            "entries",
            Some(recommended.doubling_gains_under_a_point),
        ),
        (
            "within_five_percent_of_best",
            "entries",
            Some(recommended.within_five_percent_of_best),
        ),
        (
            "doubling_gains_under_a_point",
            "bytes",
            recommended.doubling_gains_under_a_point_bytes,
        ),
        (
            "within_five_percent_of_best",
            "bytes",
            recommended.within_five_percent_of_best_bytes,
        ),
    ] {
        if capacity.is_some() {
            let figure = "recommended";
            lines.push(
                Line {
                    figure,
                    name,
                    unit,
                    capacity,
                    ..Line::default()
                }
                .text(),
            );
        }
    }
}

/// Each value with the names that lead to it.
fn flat(name: &str, value: &Value, tell: &mut impl FnMut(&str, String)) {
    let join = |inner: &str| {
        if name.is_empty() {
            inner.to_owned()
        } else {
            format!("{name}.{inner}")
        }
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(inner, value)| flat(&join(inner), value, tell)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, value)| flat(&join(&at.to_string()), value, tell)),
        Value::Null => {}
        Value::String(text) => tell(name, text.clone()),
        other => tell(name, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::driven_lines;

    /// Two runs need not check as many reads, so what one drive gave is held against itself.
    ///
    /// Contract: S140 (partial: driven figures, each exactly as JSON has it)
    #[test]
    fn every_figure_of_a_drive_is_as_json_has_it() {
        let mut lines = Vec::new();
        let driven = json!({
            "checked": 1_746,
            "stale": 0,
            "hit": { "p50": 4.556e-6 },
            "tiers": [{ "tier": "memory", "ratio": 0.5 }],
            "evidence": null,
        });
        driven_lines(&driven, &mut lines);
        lines.sort();
        let expected = [
            "driven,checked,,,,,,1746",
            "driven,hit.p50,,,,,,4.556e-6",
            "driven,stale,,,,,,0",
            "driven,tiers.0.ratio,,,,,,0.5",
            "driven,tiers.0.tier,,,,,,memory",
        ];
        assert_eq!(lines, expected);
    }
}
