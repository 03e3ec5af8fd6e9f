//! The stages of an agent's life, the steps between them, and who may take each. Pure.
//!
//! | step | from | to | who |
//! |---|---|---|---|
//! | adopt | discovered | registered | who may own it: an administrator, or a member of the team that will |
//! | activate | registered | active | who answers for it: an administrator, or the accountable person |
//! | suspend | active | suspended | its operators |
//! | resume | suspended | active | who answers for it; only an administrator when an administrator suspended it |
//! | retire | all but retired | retired | who answers for it |

use serde::{Deserialize, Serialize};

/// Where an agent is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It was seen, and nobody has taken it on.
    Discovered,
    /// Somebody has taken it on. It can do nothing yet.
    Registered,
    /// It may act.
    Active,
    /// It may do nothing for now.
    Suspended,
    /// It is gone. Its id stays taken, and its history is kept.
    Retired,
}

impl Stage {
    /// All, in the order of a life.
    pub const ALL: [Stage; 5] = [Stage::Discovered, Stage::Registered, Stage::Active, Stage::Suspended, Stage::Retired];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Discovered => "discovered",
            Stage::Registered => "registered",
            Stage::Active => "active",
            Stage::Suspended => "suspended",
            Stage::Retired => "retired",
        }
    }

    /// The stage of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.name() == name)
    }

    /// Where a step leads from here; nothing when it cannot be taken.
    #[must_use]
    pub fn after(self, step: Step) -> Option<Stage> {
        match (self, step) {
            (Stage::Discovered, Step::Adopt) => Some(Stage::Registered),
            (Stage::Registered, Step::Activate) | (Stage::Suspended, Step::Resume) => Some(Stage::Active),
            (Stage::Active, Step::Suspend) => Some(Stage::Suspended),
            (Stage::Discovered | Stage::Registered | Stage::Active | Stage::Suspended, Step::Retire) => {
                Some(Stage::Retired)
            }
            (
                Stage::Discovered | Stage::Registered | Stage::Active | Stage::Suspended | Stage::Retired,
                Step::Adopt | Step::Activate | Step::Suspend | Step::Resume | Step::Retire,
            ) => None,
        }
    }

    /// The steps that can be taken from here.
    pub fn steps(self) -> impl Iterator<Item = Step> {
        Step::ALL.into_iter().filter(move |step| self.after(*step).is_some())
    }
}

/// A step from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Somebody takes on what was seen.
    Adopt,
    /// It may act from now on.
    Activate,
    /// It may do nothing for now.
    Suspend,
    /// It may act again.
    Resume,
    /// It is gone.
    Retire,
}

/// Who may take a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// An administrator, or a member of the team that will own it.
    Owner,
    /// `agent#operator`: the team that owns it, the accountable person, an administrator.
    Operator,
    /// The accountable person, or an administrator.
    Answerable,
}

impl Step {
    /// All.
    pub const ALL: [Step; 5] = [Step::Adopt, Step::Activate, Step::Suspend, Step::Resume, Step::Retire];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Adopt => "adopt",
            Step::Activate => "activate",
            Step::Suspend => "suspend",
            Step::Resume => "resume",
            Step::Retire => "retire",
        }
    }

    /// Who may take it.
    #[must_use]
    pub fn who(self) -> Who {
        match self {
            Step::Adopt => Who::Owner,
            Step::Suspend => Who::Operator,
            Step::Activate | Step::Resume | Step::Retire => Who::Answerable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table at the head of the file, and nothing else.
    #[test]
    fn the_steps_are_these_and_no_others() {
        let mut steps = Vec::new();
        for stage in Stage::ALL {
            for step in stage.steps() {
                steps.push(format!("{} {} {}", stage.name(), step.name(), stage.after(step).unwrap().name()));
            }
        }
        assert_eq!(
            steps,
            [
                "discovered adopt registered",
                "discovered retire retired",
                "registered activate active",
                "registered retire retired",
                "active suspend suspended",
                "active retire retired",
                "suspended resume active",
                "suspended retire retired",
            ]
        );
    }

    #[test]
    fn from_retired_there_is_no_way_and_from_elsewhere_there_is() {
        assert_eq!(Stage::Retired.steps().count(), 0);
        for stage in Stage::ALL.into_iter().filter(|s| *s != Stage::Retired) {
            assert_eq!(stage.after(Step::Retire), Some(Stage::Retired), "{stage:?}");
        }
        for stage in Stage::ALL {
            assert_eq!(Stage::of(stage.name()), Some(stage));
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
