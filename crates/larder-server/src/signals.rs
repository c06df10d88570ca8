//! [`interrupted`]: whoever runs a command wants it to end.
//!
//! On Unix a thread of its own hears Ctrl-C, a terminal that is closed, and being told to end. The first time whoever waits here learns of it
//! and cleans up; the second time the process ends at once, however busy it is, with the terminal as it was found.

#[cfg(unix)]
mod unix {
    use std::sync::OnceLock;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use tokio::sync::watch;

    use crate::fault::Exit;

    static HEARD: OnceLock<watch::Receiver<bool>> = OnceLock::new();

    /// From now on a signal ends nothing by itself.
    pub(crate) fn listen() {
        HEARD.get_or_init(|| {
            let (told, heard) = watch::channel(false);
            // Where signals cannot be caught, they end the process as they always do.
            if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) {
                std::thread::spawn(move || {
                    for _ in signals.forever() {
                        if told.send_replace(true) {
                            crate::terminal::restore();
                            std::process::exit(i32::from(Exit::Interrupted.number()));
                        }
                    }
                });
            }
            heard
        });
    }

    /// Resolves with Ctrl-C, when the terminal is closed, and when the process is told to end.
    pub(crate) async fn interrupted() {
        listen();
        let heard = HEARD.get().cloned();
        if let Some(mut heard) = heard
            && heard.wait_for(|is_told| *is_told).await.is_ok()
        {
            return;
        }
        // Nobody will tell.
        std::future::pending().await
    }
}

#[cfg(unix)]
pub(crate) use unix::{interrupted, listen};

/// Ctrl-C is heard once somebody waits for it.
#[cfg(not(unix))]
pub(crate) fn listen() {}

/// Resolves with Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn interrupted() {
    drop(tokio::signal::ctrl_c().await);
}
