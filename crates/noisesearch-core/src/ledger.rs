//! Two honest columns: what the algorithm asked for (*billed*) and what really ran (*spent*).
//!
//! Both are in forward evaluations of the denoiser. A backward one, where a gradient is taken,
//! counts as [`BACKWARD_NFE`] of them in either column; what a verifier computes is in neither,
//! but what one has others compute for money is spent: [`Fees`].

use crate::level::Level;
use serde::{Deserialize, Serialize};
use std::ops::{AddAssign, Sub};

/// One column of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Function evaluations of the denoiser during search; a guided evaluation is one.
    pub search_nfe: u64,
    /// Function evaluations of the final generation, when the winner is made again.
    pub final_nfe: u64,
    /// Network passes: two per guided evaluation.
    pub passes: u64,
    /// Scores asked of verifiers, one per candidate and verifier.
    pub verifier_calls: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// What verifiers were charged; a column without any is written without them.
    #[serde(default, skip_serializing_if = "Fees::is_free")]
    pub fees: Fees,
}

/// What verifiers asked of services that may charge for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Tokens of the questions, as the service counts them.
    pub tokens_read: u64,
    /// Tokens of the answers.
    pub tokens_written: u64,
}

impl Fees {
    /// Whether nothing was asked.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Fees {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.tokens_read += more.tokens_read;
        self.tokens_written += more.tokens_written;
    }
}

/// What was added since `before`.
impl Sub for Fees {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            tokens_read: self.tokens_read.saturating_sub(before.tokens_read),
            tokens_written: self.tokens_written.saturating_sub(before.tokens_written),
        }
    }
}

/// What a preview is billed besides reaching its level: one evaluation gives the x0-prediction.
pub const PREVIEW_NFE: u64 = 1;

/// What a backward evaluation of the denoiser counts beside its forward one: the convention of
/// Ma et al., arXiv 2501.09732, figure 14.
pub const BACKWARD_NFE: u64 = 3;

/// How many NFE a deterministic solve costs: `per_step * steps`, less `saved_at_zero` when it
/// ends at level 0 (Heun's last step is Euler).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NfeRule {
    /// Evaluations a step.
    pub per_step: u64,
    /// Evaluations saved by the last step to level 0.
    pub saved_at_zero: u64,
}

impl NfeRule {
    /// Evaluations of a deterministic solve of `steps` steps that ends at level `to`.
    pub fn nfe(&self, steps: u16, to: Level) -> u64 {
        let saved = if to == Level::CLEAN {
            self.saved_at_zero
        } else {
            0
        };
        self.per_step
            .saturating_mul(u64::from(steps))
            .saturating_sub(saved)
    }
}

/// Where the paper (Ma et al., arXiv 2501.09732) puts a run on the x axis of its figures. Its
/// figures follow three conventions; all are functions of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaperAxis {
    /// Search and final NFE. The text-to-image figures (`30 n`, where the best candidate is the
    /// final image) and the qualitative figures (`250 + 50 n`).
    Total,
    /// Random search on ImageNet (figures 3, 4, 5, 10): `250 + k (n - 1)`, where one candidate of
    /// `k` NFE is absorbed by the final generation. Without a final generation, as `Total`.
    Random {
        /// `k`, NFE of one candidate during search.
        candidate_nfe: u64,
    },
    /// ZO-N on ImageNet (figure 6): `k N (K + 2)` after `K` rounds of `N` neighbours, whatever
    /// the final generation costs. Reads `K` off a search of `k (1 + N K)` NFE.
    ZeroOrder {
        /// `k`, NFE of one candidate during search.
        candidate_nfe: u64,
        /// `N`, neighbours a round.
        neighbours: u64,
    },
    /// Paths-N on ImageNet (figure 6): the first leg is charged once, whatever `N` is.
    Paths {
        /// NFE from pure noise down to where the search starts, for one path.
        first_leg_nfe: u64,
        /// `N`, paths kept.
        paths: u64,
    },
}

impl Ledger {
    /// The honest cost: search and final NFE.
    pub fn total_nfe(&self) -> u64 {
        self.search_nfe.saturating_add(self.final_nfe)
    }

    /// The x coordinate of this (billed) column in the paper's figures, in NFE.
    pub fn paper_nfe(&self, axis: PaperAxis) -> u64 {
        match axis {
            PaperAxis::Random { candidate_nfe } if self.final_nfe > 0 => {
                self.total_nfe().saturating_sub(candidate_nfe)
            }
            PaperAxis::Total | PaperAxis::Random { .. } => self.total_nfe(),
            PaperAxis::ZeroOrder {
                candidate_nfe,
                neighbours,
            } => {
                let offset = candidate_nfe.saturating_mul(2).saturating_mul(neighbours);
                self.search_nfe
                    .saturating_sub(candidate_nfe)
                    .saturating_add(offset)
            }
            PaperAxis::Paths {
                first_leg_nfe,
                paths,
            } => {
                let repeated = first_leg_nfe.saturating_mul(paths.saturating_sub(1));
                self.total_nfe().saturating_sub(repeated)
            }
        }
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, more: Self) {
        self.search_nfe += more.search_nfe;
        self.final_nfe += more.final_nfe;
        self.passes += more.passes;
        self.verifier_calls += more.verifier_calls;
        self.seconds += more.seconds;
        self.fees += more.fees;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_counts_evaluations() {
        let rule = |per_step, saved_at_zero| NfeRule {
            per_step,
            saved_at_zero,
        };
        let (euler, heun) = (rule(1, 0), rule(2, 1));
        let above = Level::new(0.1).unwrap();
        assert_eq!(
            (euler.nfe(20, Level::CLEAN), euler.nfe(20, above)),
            (20, 20)
        );
        assert_eq!((heun.nfe(20, Level::CLEAN), heun.nfe(20, above)), (39, 40));
        assert_eq!(heun.nfe(0, Level::CLEAN), 0);
    }

    /// The paper's own coordinates (digest 1.3).
    #[test]
    fn paper_coordinates() {
        let ledger = |search_nfe, final_nfe| Ledger {
            search_nfe,
            final_nfe,
            ..Ledger::default()
        };
        let random = PaperAxis::Random { candidate_nfe: 50 };
        for (n, x) in [(1, 250), (2, 300), (4, 400), (64, 3400), (256, 13000)] {
            assert_eq!(ledger(50 * n, 250).paper_nfe(random), x);
            assert_eq!(
                ledger(50 * n, 250).paper_nfe(PaperAxis::Total),
                250 + 50 * n
            );
        }
        assert_eq!(
            ledger(30 * 96, 0).paper_nfe(PaperAxis::Random { candidate_nfe: 30 }),
            2880
        );
        for (neighbours, rounds, x) in [(2, 1, 300), (2, 128, 13000), (4, 1, 600), (8, 2, 1600)] {
            let axis = PaperAxis::ZeroOrder {
                candidate_nfe: 50,
                neighbours,
            };
            assert_eq!(
                ledger(50 * (1 + neighbours * rounds), 250).paper_nfe(axis),
                x
            );
        }
        let paths = PaperAxis::Paths {
            first_leg_nfe: 223,
            paths: 4,
        };
        assert_eq!(ledger(4 * 223 + 45 * 16, 0).paper_nfe(paths), 223 + 45 * 16);
    }

    #[test]
    fn ledgers_add_up() {
        let mut sum = Ledger {
            search_nfe: 1,
            final_nfe: 2,
            passes: 3,
            ..Ledger::default()
        };
        sum += Ledger {
            search_nfe: 10,
            verifier_calls: 4,
            seconds: 0.5,
            ..Ledger::default()
        };
        let parts = (
            sum.search_nfe,
            sum.final_nfe,
            sum.passes,
            sum.verifier_calls,
            sum.seconds,
        );
        assert_eq!((parts, sum.total_nfe()), ((11, 2, 3, 4, 0.5), 13));
    }

    /// Journals from before there were fees are read, and those without any stay as they were.
    #[test]
    fn a_column_without_fees_is_written_as_ever() {
        let old = r#"{"search_nfe":2,"final_nfe":0,"passes":4,"verifier_calls":1,"seconds":0.5}"#;
        let mut ledger: Ledger = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&ledger).unwrap(), old);
        let fees = Fees {
            requests: 2,
            tokens_read: 200,
            tokens_written: 20,
        };
        ledger += Ledger {
            fees,
            ..Ledger::default()
        };
        let new = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&new).unwrap(), ledger);
        assert_eq!((ledger.fees, ledger.fees - fees), (fees, Fees::default()));
    }
}
