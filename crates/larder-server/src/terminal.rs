//! [`Keys`]: single keys from a terminal, and how wide it is; whatever happens, the terminal gets its mode back.
//!
//! Ctrl-C, Ctrl-Z and Ctrl-\ go on being signals: lines and their echo are all that is turned off. The mode is put back when [`Keys`] is dropped,
//! also by a panic, and by [`restore`] before the process ends at once. Only SIGKILL leaves it; `stty sane` helps then.

/// As wide as a terminal that does not say.
#[cfg(unix)]
const COLUMNS: usize = 80;

#[cfg(unix)]
mod unix {
    use std::io::{IsTerminal as _, Read as _};
    use std::sync::{Mutex, PoisonError};

    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    };
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    /// The mode in which the terminal was found, while it is in another.
    static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

    /// Puts the terminal back into the mode in which it was found.
    pub(crate) fn restore() {
        let found = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(found) = found {
            // A terminal that has gone needs no mode.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &found);
        }
    }

    /// The keys that somebody presses.
    pub(crate) struct Keys {
        pressed: Option<UnboundedReceiver<char>>,
    }

    impl Keys {
        /// Listens, if somebody sits before this process; otherwise no key is ever pressed.
        pub(crate) fn listen() -> Self {
            Keys { pressed: pressed() }
        }

        pub(crate) fn are_heard(&self) -> bool {
            self.pressed.is_some()
        }

        /// The next key; never, if there is none to come.
        pub(crate) async fn next(&mut self) -> char {
            if let Some(pressed) = &mut self.pressed
                && let Some(key) = pressed.recv().await
            {
                return key;
            }
            std::future::pending().await
        }
    }

    fn pressed() -> Option<UnboundedReceiver<char>> {
        let input = std::io::stdin();
        if !input.is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        // Whoever runs in the background is stopped if it touches the terminal.
        if tcgetpgrp(&input).ok()? != rustix::process::getpgrp() {
            return None;
        }
        let found = tcgetattr(&input).ok()?;
        let mut mode = found.clone();
        mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        let mut place = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetattr(&input, OptionalActions::Now, &mode).ok()?;
        *place = Some(found);
        drop(place);
        let (told, pressed) = unbounded_channel();
        // It waits in a read, and ends with the process.
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
                if told.send(char::from(byte)).is_err() {
                    break;
                }
            }
        });
        Some(pressed)
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            restore();
        }
    }

    /// How many letters a line of the terminal has that notes go to.
    pub(crate) fn columns() -> usize {
        let size = tcgetwinsize(std::io::stderr());
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        if columns == 0 { super::COLUMNS } else { columns }
    }
}

#[cfg(unix)]
pub(crate) use unix::{Keys, columns, restore};

#[cfg(not(unix))]
mod other {
    /// No key is ever pressed.
    pub(crate) struct Keys;

    impl Keys {
        pub(crate) fn listen() -> Self {
            Keys
        }

        pub(crate) fn are_heard(&self) -> bool {
            false
        }

        pub(crate) async fn next(&mut self) -> char {
            std::future::pending().await
        }
    }

    /// How many letters a line of a terminal has.
    pub(crate) fn columns() -> usize {
        80
    }
}

#[cfg(not(unix))]
pub(crate) use other::{Keys, columns};
