//! Several threads at once, measured so that a neighbour on the machine does not pass for contention.
//!
//! Each thread has a core of its own where the system allows that. All wait for one another before every burst, awake, and a
//! burst is short beside the time that a system gives a thread at once. A burst counts if all threads started it together, and
//! the median of those is told. What is measured is real time, from the first thread's start to the last one's end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For how long bursts are made.
const TIME: Duration = Duration::from_millis(250);

/// How many bursts must count before their median is told.
const COUNTING_MIN: usize = 30;

/// How often it is tried to have so many.
const TRIES: usize = 10;

/// How long the median burst takes in which each of `threads` threads does `work` once; nothing, if the machine did not let them
/// start together often enough. Takes a quarter of a second, or a few where others use the machine.
///
/// # Panics
/// If `work` does.
pub fn burst(threads: usize, work: impl Fn() + Sync) -> Option<Duration> {
    let mut counting: Vec<Duration> = Vec::new();
    for _ in 0..TRIES {
        counting.extend(bursts(threads, &work));
        if counting.len() >= COUNTING_MIN {
            counting.sort_unstable();
            return counting.get(counting.len() / 2).copied();
        }
    }
    None
}

/// The bursts that count, of those that fit in [`TIME`].
fn bursts(threads: usize, work: &(impl Fn() + Sync)) -> Vec<Duration> {
    let line = Line {
        threads,
        arrived: AtomicUsize::new(0),
        last: AtomicUsize::new(usize::MAX),
    };
    let spans: Vec<Vec<Span>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn({
                    let line = &line;
                    move || {
                        stay_on_core(number);
                        line.run(number == 0, work)
                    }
                })
            })
            .collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|spans| spans.expect("the work panicked")).collect()
    });
    let count = spans.iter().map(Vec::len).min().unwrap_or(0);
    let bursts = (0..count).map(|burst| spans.iter().map(|spans| spans[burst]).collect::<Vec<_>>());
    bursts.filter_map(|spans| started_together(&spans)).collect()
}

/// Where threads wait for one another.
struct Line {
    threads: usize,
    /// How often a thread has arrived, over all bursts.
    arrived: AtomicUsize,
    /// The burst that is not made any more. A number, since a slow thread may look while a fast one is a burst ahead.
    last: AtomicUsize,
}

impl Line {
    /// One burst after the other, until the one thread that watches the time says so. All threads do the same number of
    /// bursts: the word is given before the watching thread arrives, and looked for after all have.
    fn run(&self, watches: bool, work: &impl Fn()) -> Vec<Span> {
        let began = Instant::now();
        let mut spans = Vec::new();
        for burst in 1.. {
            if watches && began.elapsed() > TIME {
                self.last.store(burst, Ordering::Relaxed);
            }
            self.arrived.fetch_add(1, Ordering::AcqRel);
            // Awake on purpose: a thread that had to be woken would start late.
            while self.arrived.load(Ordering::Acquire) < burst * self.threads {
                std::hint::spin_loop();
            }
            if self.last.load(Ordering::Relaxed) == burst {
                break;
            }
            let start = Instant::now();
            work();
            spans.push(Span {
                start,
                end: Instant::now(),
            });
        }
        spans
    }
}

/// Keeps this thread on one core, so that two threads never wait for each other on the same one. Where that is refused, or there
/// is no such core, fewer bursts count.
#[cfg(target_os = "linux")]
pub(crate) fn stay_on_core(number: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    if let Some(core) = cores.nth(number) {
        let mut one = CpuSet::new();
        one.set(core);
        // Refused in some sandboxes; see above.
        let _ = sched_setaffinity(None, &one);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn stay_on_core(_number: usize) {}

/// When one thread did its part of a burst.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: Instant,
    end: Instant,
}

/// The time from the first start to the last end, if all started within a tenth of the time that the fastest one took.
fn started_together(spans: &[Span]) -> Option<Duration> {
    let (first, latest) = (
        spans.iter().map(|s| s.start).min()?,
        spans.iter().map(|s| s.start).max()?,
    );
    let fastest = spans.iter().map(|s| s.end - s.start).min()?;
    let last = spans.iter().map(|s| s.end).max()?;
    ((latest - first) * 10 <= fastest).then_some(last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_works_in_each_burst() {
        let line = Line {
            threads: 2,
            arrived: AtomicUsize::new(0),
            last: AtomicUsize::new(usize::MAX),
        };
        let worked = AtomicUsize::new(0);
        let work = || {
            worked.fetch_add(1, Ordering::Relaxed);
        };
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| line.run(true, &work).len());
            let second = scope.spawn(|| line.run(false, &work).len());
            (first.join().expect("it ends"), second.join().expect("it ends"))
        });
        assert_eq!(first, second);
        assert_eq!(worked.into_inner(), first + second);
    }

    #[test]
    fn a_burst_of_one_thread_always_counts() {
        assert!(burst(1, || ()).is_some());
    }

    #[test]
    fn only_what_started_together_counts() {
        let origin = Instant::now();
        let span = |start, end| Span {
            start: origin + Duration::from_micros(start),
            end: origin + Duration::from_micros(end),
        };
        assert_eq!(
            started_together(&[span(0, 99), span(1, 100)]),
            Some(Duration::from_micros(100))
        );
        assert_eq!(
            started_together(&[span(0, 50), span(1, 100)]),
            Some(Duration::from_micros(100)),
            "unfair"
        );
        assert_eq!(
            started_together(&[span(0, 50), span(50, 100)]),
            None,
            "one after the other"
        );
        assert_eq!(
            started_together(&[span(0, 100), span(30, 100)]),
            None,
            "one was late"
        );
    }
}
