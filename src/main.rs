fn main() -> std::process::ExitCode {
    initdiag::cli::main()
}
