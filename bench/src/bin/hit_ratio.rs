//! x
use larder_bench::traces::Trace;
use larder_bench::replay::*;
use larder_memory::Eviction;
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let quick = args.iter().any(|a| a == "q");
    for trace in Trace::ALL {
        if quick && trace == Trace::P6 { continue; }
        let t = trace.read().unwrap();
        let mut d = t.clone(); d.sort_unstable(); d.dedup();
        println!("{trace} {} {}", t.len(), d.len());
        for cap in [d.len() / 100, d.len() / 10] {
            print!("{trace} {cap}:");
            for e in Eviction::ALL {
                let s = Instant::now();
                let h = policy_hits(e, &t, cap);
                print!(" {e:?} {:.2} ({:.0}ns)", h as f64 * 100.0 / t.len() as f64, s.elapsed().as_secs_f64() * 1e9 / t.len() as f64);
            }
            if !quick {
            let o = larder_testkit::eviction::optimum(&t, cap);
            print!(" OPT {:.2}", o as f64 * 100.0 / t.len() as f64);
            }
            println!();
        }
    }
}
