//! What `--help` says after the options: examples, exit codes, environment.

pub(crate) const LARDER: &str = "\
Examples:
  larder demo --quick
  larder replay keys.txt

Exit codes: 0 done, and nothing wrong was found; 1 it ran, and found something wrong; 2 usage; 3 it could not run; 5 no such thing; 6 something is in the way; 70 a fault of this program; 130 interrupted. The first Ctrl-C cleans up, the second ends at once.

Environment: NO_COLOR, if it is set and not empty, is --no-color; TMPDIR says where temporary files go.";

pub(crate) const DEMO: &str = "\
Keys, where standard input and standard error are a terminal: k kills a node, p pauses one and lets it go on, d locks the database for 3 s, w makes both nodes write a burst, q ends.

Examples:
  larder demo --quick
  larder demo --seconds 60 --kill b --seed 7
  larder demo --quick --contrast

Exit codes: 0 no read was stale; 1 one was, with the first evidence, or a node did not come back or catch up; 2 usage; 3 it could not run; 6 the directory is not empty; 130 interrupted.

Environment: NO_COLOR, if it is set and not empty, is --no-color; TMPDIR says where the directory goes if --dir is not given.

It listens on loopback only, at ports that the system chooses, and leaves nothing behind unless --keep is given.";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  larder completions bash > ~/.local/share/bash-completion/completions/larder
  larder completions fish > ~/.config/fish/completions/larder.fish

With --json: an object with `shell` and `script`.

Exit codes: 0 done; 2 usage; 3 it could not be written.

Environment: none.";

pub(crate) const MAN: &str = "\
Examples:
  larder man .
  larder man ~/.local/share/man/man1

With --json: an object with `directory`.

Exit codes: 0 done; 2 usage; 3 a page could not be written; 5 there is no such directory.

Environment: none.";
