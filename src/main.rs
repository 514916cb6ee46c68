//! The command `initdiag`; all of it is in the library.

fn main() -> std::process::ExitCode {
    initdiag::cli::main()
}
