//! Whether a run fits the memory that is there, and what would make it fit.

use super::error::Failure;
use super::number;
use crate::simulate::{Input, Plan, least_bytes, plan_bytes};
use crate::spec::{Engine, Experiment};
use crate::study::jacobian;

/// What a run takes beside what its plan says.
#[derive(Clone, Copy)]
pub struct Need {
    /// Trials side by side.
    pub threads: usize,
    /// Bytes of figures while they are drawn.
    pub figures: u128,
    /// Every trial's values stay in the result.
    pub trace: bool,
    /// Jacobians are measured behind the trials.
    pub jacobian: bool,
}

/// Refuses what needs more bytes than are free; `remedy` says what to change, given how many are.
pub fn fits(needed: u128, remedy: impl FnOnce(u128) -> String) -> Result<(), Failure> {
    let Some(available) = available().filter(|available| needed > *available) else { return Ok(()) };
    let (needed, free) = (number::bytes(needed), number::bytes(available));
    Err(Failure::Memory { needed, available: free, remedy: remedy(available) })
}

/// A smaller run has this part of a number.
const PART: usize = 16;

impl Need {
    /// Bytes of figures and of what the result keeps of each trial.
    pub fn beside(self, plan: &Plan) -> u128 {
        self.figures + if self.trace { plan.trace_bytes() } else { 0 }
    }

    fn bytes(self, plan: &Plan) -> u128 {
        let behind = match self.jacobian {
            true => jacobian::bytes(plan, self.threads) + plan.left_bytes(),
            false => 0,
        };
        plan.bytes(self.threads).max(behind) + self.beside(plan)
    }

    /// Refuses an experiment of so many layers that its plan would take much of what is free, and the run more than that.
    pub fn check_layers(self, experiment: &Experiment) -> Result<(), Failure> {
        if available().is_none_or(|available| plan_bytes(experiment) <= available / 2) {
            return Ok(());
        }
        fits(least_bytes(experiment), |available| self.remedy(experiment, &[], 0, available))
    }

    /// Refuses a run that would need more than is free.
    pub fn check(self, plan: &Plan) -> Result<(), Failure> {
        fits(self.bytes(plan), |available| {
            if (Self { threads: 1, ..self }).bytes(plan) <= available {
                return "take fewer --threads".into();
            }
            let without = [
                ("no --trace", Self { trace: false, ..self }),
                ("no --jacobian", Self { jacobian: false, ..self }),
            ];
            let help = without.into_iter().filter(|(_, without)| without.bytes(plan) <= available);
            let help: Vec<&str> = help.map(|(words, _)| words).collect();
            // This plan is still there while others are tried.
            let held = plan_bytes(&plan.experiment);
            self.remedy(&plan.experiment, &help, held, available)
        })
    }

    /// What would make the run fit by itself, as far as that was tried: `help` does, and `held` bytes are taken meanwhile.
    fn remedy(self, e: &Experiment, help: &[&'static str], held: u128, available: u128) -> String {
        let part = |number: usize| (number / PART).max(1);
        let narrow = |widths: &[usize]| {
            // The input's width is that of the data.
            let all = widths.iter().enumerate();
            all.map(|(place, width)| if place == 0 { *width } else { part(*width) }).collect::<Vec<_>>()
        };
        let shallow = |widths: &[usize]| widths[..=part(widths.len() - 1)].to_vec();
        let stacks = |change: &dyn Fn(&[usize]) -> Vec<usize>| {
            let widths = change(&e.widths);
            let more = e.more_widths.iter().map(|widths| change(widths)).collect();
            Experiment { depth: widths.len() - 1, widths, more_widths: more, ..e.clone() }
        };
        let mut tried = vec![
            ("fewer --trials", Experiment { trials: part(e.trials), ..e.clone() }),
            ("a smaller --batch", Experiment { batch: part(e.batch), ..e.clone() }),
        ];
        if e.init.len() * e.act.len() > 1 || !e.more_widths.is_empty() {
            let one = Experiment {
                init: e.init[..1].to_vec(),
                act: e.act[..1].to_vec(),
                more_widths: Vec::new(),
                ..e.clone()
            };
            tried.push(("fewer initializers, activations or sizes at once", one));
        }
        if e.net.is_none() {
            tried.push(("a smaller --width", stacks(&narrow)));
            tried.push(("a smaller --depth", stacks(&shallow)));
        }
        if e.engine != Engine::Implicit {
            tried.push((
                "--engine implicit, which holds no weights",
                Experiment { engine: Engine::Implicit, ..e.clone() },
            ));
        }
        let fits = |smaller: &Experiment| {
            held + least_bytes(smaller) <= available
                && Plan::new(smaller, Input::Normal).is_ok_and(|plan| self.bytes(&plan) <= available)
        };
        let tried = tried.iter().filter(|(_, smaller)| fits(smaller)).map(|(words, _)| *words);
        let help: Vec<&str> = help.iter().copied().chain(tried).collect();
        match help.as_slice() {
            [] if e.net.is_none() => {
                "it takes a smaller --width, --batch, --depth and fewer --trials together".into()
            }
            [] => "it takes a smaller network, or a larger machine".into(),
            [one] => format!("take {one}"),
            [rest @ .., last] => format!("take {}, or {last}", rest.join(", ")),
        }
    }
}

/// Bytes that are free for the process: of the machine, of its control group, and under its own limits. A system that does not say
/// how much it has cannot refuse.
fn available() -> Option<u128> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let available = system.available_memory().min(group);
    Some(u128::from(available.min(own_limit()))).filter(|available| *available > 0)
}

/// Bytes that the process may still ask for under its limits of address space and of data.
#[cfg(unix)]
fn own_limit() -> u64 {
    let limit = |resource| {
        let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the call only writes into a structure that is ours.
        let known = unsafe { libc::getrlimit(resource, &raw mut limit) } == 0;
        if known && limit.rlim_cur != libc::RLIM_INFINITY { limit.rlim_cur } else { u64::MAX }
    };
    // What the process itself takes of its address space at this point, some of it never touched.
    const TAKEN: u64 = 32 << 20;
    limit(libc::RLIMIT_AS).min(limit(libc::RLIMIT_DATA)).saturating_sub(TAKEN).max(1)
}

#[cfg(not(unix))]
fn own_limit() -> u64 {
    u64::MAX
}
