//! [`table`]: a report as a text of at most 100 columns.

use std::time::Duration;

use super::drive::{Driven, Times};
use super::report::{AtBytes, AtEntries, BytePoint, Point, Recommended, Report, Sampled};
use crate::demo::screen::short;

/// The whole report.
pub(super) fn table(report: &Report) -> String {
    let mut lines = vec![format!("{} accesses of {} keys", report.accesses, report.keys)];
    if report.reads < report.accesses {
        lines.push(format!(
            "{} of them read; ratios are shares of these",
            report.reads
        ));
    }
    if let Some(bytes) = report.bytes {
        lines.push(format!("{} in all keys, each with its last size", size(bytes)));
    }
    for at in &report.capacities {
        of_entries(report, at, &mut lines);
    }
    for at in &report.capacities_in_bytes {
        of_bytes(report, at, &mut lines);
    }
    curves(report, &mut lines);
    lines.extend(of_recommended(&report.recommended));
    if let Some(driven) = &report.driven {
        lines.extend(of_driven(driven));
    }
    lines.join("\n")
}

fn of_entries(report: &Report, at: &AtEntries, lines: &mut Vec<String>) {
    lines.push(format!(
        "\ncapacity {} ({:.2} % of the keys)",
        at.entries,
        share(at.entries, report.keys) * 100.0
    ));
    for of in &at.policies {
        let part = if at.optimum > 0.0 {
            of.hit_ratio / at.optimum
        } else {
            1.0
        };
        let line = format!(
            "  {:<16} {:>6.2} %  {:>5.3} of the optimum  {}",
            of.policy,
            of.hit_ratio * 100.0,
            part,
            own(of.larder)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!("  {:<16} {:>6.2} %", "optimum", at.optimum * 100.0));
}

fn of_bytes(report: &Report, at: &AtBytes, lines: &mut Vec<String>) {
    lines.push(format!(
        "\ncapacity {} ({:.2} % of all bytes)",
        size(at.bytes),
        share(at.bytes, report.bytes.unwrap_or_default()) * 100.0
    ));
    let line = |name: &str, ratios: super::report::Ratios, more: &str| {
        let line = format!(
            "  {name:<16} {:>6.2} %  {:>6.2} % of bytes  {more}",
            ratios.hit_ratio * 100.0,
            ratios.byte_hit_ratio * 100.0,
        );
        line.trim_end().to_owned()
    };
    for of in &at.policies {
        lines.push(line(of.policy, of.ratios, own(of.larder)));
    }
    lines.push(line(
        "reference",
        at.reference,
        "farthest next use: of sizes no optimum",
    ));
}

fn own(larder: bool) -> &'static str {
    if larder { "in pools" } else { "" }
}

/// A column for each policy.
fn curves(report: &Report, lines: &mut Vec<String>) {
    let curves = &report.sampled_curves;
    let from = if report.sample_rate < 1.0 {
        format!("estimated from {:.1} % of the keys", report.sample_rate * 100.0)
    } else {
        "exact".to_owned()
    };
    lines.push("\nLRU by capacity, exact".to_owned());
    for Point { entries, hit_ratio } in &report.lru_curve {
        lines.push(format!("  {entries:>10}  {:>6.2} %", hit_ratio * 100.0));
    }
    lines.push(format!("\nothers by capacity, {from}"));
    let ratio = |point: Option<f64>| point.map_or_else(String::new, |ratio| format!("{:.2}", ratio * 100.0));
    let by_entries =
        |curve: &Sampled, row: usize| ratio(curve.by_entries.get(row).map(|point| point.hit_ratio));
    let others: Vec<&Sampled> = curves
        .iter()
        .filter(|curve| !curve.by_entries.is_empty())
        .collect();
    heads(&others, lines);
    let first = others.first().map_or(&[][..], |curve| &curve.by_entries);
    for (row, Point { entries, .. }) in first.iter().enumerate() {
        let cells = others.iter().map(|curve| by_entries(curve, row));
        lines.push(row_of(&entries.to_string(), cells));
    }
    if report.bytes.is_none() {
        return;
    }
    lines.push("\nLRU by capacity in bytes, and what it hits of bytes".to_owned());
    for BytePoint { bytes, ratios } in &report.lru_curve_in_bytes {
        lines.push(format!(
            "  {:>10}  {:>6.2} %  {:>6.2} %",
            size(*bytes),
            ratios.hit_ratio * 100.0,
            ratios.byte_hit_ratio * 100.0
        ));
    }
    for (title, of_bytes) in [("hits", false), ("hits of bytes", true)] {
        lines.push(format!("\n{title} by capacity in bytes, {from}"));
        let all: Vec<&Sampled> = curves.iter().collect();
        heads(&all, lines);
        let first = all.first().map_or(&[][..], |curve| &curve.by_bytes);
        for (row, BytePoint { bytes, .. }) in first.iter().enumerate() {
            let cells = all.iter().map(|curve| {
                let ratios = curve.by_bytes.get(row).map(|point| point.ratios);
                ratio(ratios.map(|ratios| {
                    if of_bytes {
                        ratios.byte_hit_ratio
                    } else {
                        ratios.hit_ratio
                    }
                }))
            });
            lines.push(row_of(&size(*bytes), cells));
        }
    }
}

fn heads(curves: &[&Sampled], lines: &mut Vec<String>) {
    let names = curves.iter().map(|curve| match curve.policy {
        // Its column is as wide as the others'.
        "AdaptiveTinyLfu" => "TinyLfu".to_owned(),
        name => name.to_owned(),
    });
    lines.push(row_of("", names));
}

fn row_of(head: &str, cells: impl Iterator<Item = String>) -> String {
    let mut row = format!("  {head:>10}");
    cells.for_each(|cell| row.push_str(&format!("  {cell:>7}")));
    row
}

fn of_recommended(recommended: &Recommended) -> Vec<String> {
    let mut lines = vec![format!(
        "\nbeyond {} entries, doubling gains less than a point; {} are within 5 % of the best ratio",
        recommended.doubling_gains_under_a_point, recommended.within_five_percent_of_best
    )];
    if let (Some(little), Some(near)) = (
        recommended.doubling_gains_under_a_point_bytes,
        recommended.within_five_percent_of_best_bytes,
    ) {
        lines.push(format!("in bytes: beyond {}, and {}", size(little), size(near)));
    }
    lines
}

fn of_driven(driven: &Driven) -> Vec<String> {
    let times = |times: Times| {
        let [p50, p99] = [times.p50, times.p99].map(|seconds| short(Duration::from_secs_f64(seconds)));
        format!("p50 {p50:>8}  p99 {p99:>8}")
    };
    let mut lines = vec![
        format!(
            "\ndriven: {} accesses of {} rows through {} pools of {} entries in all, in {:.1} s",
            driven.accesses, driven.rows, driven.pools, driven.capacity, driven.seconds
        ),
        format!(
            "  writes       {} of the trace, {} injected from seed {}",
            driven.writes - driven.injected,
            driven.injected,
            driven.seed
        ),
    ];
    for tier in &driven.tiers {
        lines.push(format!("  {:<12} {:>6.2} %", tier.tier, tier.ratio * 100.0));
    }
    lines.push(format!("  hit          {}", times(driven.hit)));
    lines.push(format!("  miss         {}", times(driven.miss)));
    if driven.writes > 0 {
        lines.push(format!("  commit       {}", times(driven.commit)));
        lines.push(format!(
            "  lag          {}   from commit to applied by another node",
            times(driven.lag)
        ));
    }
    lines.push(format!(
        "  checked      {} reads, STALE {}",
        driven.checked, driven.stale
    ));
    let first = driven.evidence.first();
    lines.extend(first.map(|first| format!("  first evidence: {first}")));
    lines
}

/// In the largest unit of which there is one.
fn size(bytes: u64) -> String {
    let units = [
        ("TiB", 1_u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    let unit = units.into_iter().find(|(_, unit)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(name, unit)| format!("{:.1} {name}", share(bytes, unit)),
    )
}

fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    let share = part as f64 / whole.max(1) as f64;
    share
}
