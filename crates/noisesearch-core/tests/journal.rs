//! The journal against torn tails (R3), bit rot (R4), failing syncs (R6) and second writers (R7).

use noisesearch_core::disk::{Disk, DiskError};
use noisesearch_core::job::{Failure, JobId, Outcome, Scores};
use noisesearch_core::journal::{
    self, Entry, Fingerprint, JOURNAL, Journal, JournalError, Notice, Snapshot, Told,
};
use noisesearch_core::ledger::Ledger;
use noisesearch_core::limits::JOURNAL_LINE_MAX;
use noisesearch_core::recipe::Recipe;
use noisesearch_core::search::StopReason;
use noisesearch_core::sim::{Dice, Fault, SimDisk, Trouble};

fn fingerprint(seed: u64) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.set("seed", seed).unwrap();
    fingerprint.set("model", "J*made up*J").unwrap();
    fingerprint
}

fn recipe(root: u64) -> Recipe {
    let moves = Vec::new();
    Recipe { root, moves }
}

/// Any finite number, from the smallest to the largest.
fn finite(dice: &mut Dice) -> f64 {
    loop {
        let value = f64::from_bits(dice.word());
        if value.is_finite() {
            return value;
        }
    }
}

/// An entry for the jobs from `first`, some of which failed.
fn entry(dice: &mut Dice, first: u64, jobs: u64) -> Entry {
    let told = (first..first + jobs).map(|job| Told {
        job: JobId(job),
        recipe: recipe(job).id(),
        nfe: 20,
        outcome: match dice.below(8) {
            0 => Outcome::Failed(Failure::NonFinite { evaluation: 7 }),
            1 => Outcome::Failed(Failure::Worker {
                reason: "J*J\n\u{1f}".to_owned(),
            }),
            _ => Outcome::Scored(Scores::new(vec![dice.below(1000) as f64 / 7.0]).unwrap()),
        },
    });
    Entry {
        told: told.collect(),
        spent: Ledger {
            search_nfe: 20 * (first + jobs),
            seconds: dice.below(1000) as f64 / 7.0,
            ..Ledger::default()
        },
        ended: None,
    }
}

/// A journal of `count` entries of one to `most` outcomes, as bytes.
fn written(count: usize, most: u64) -> (Vec<Entry>, Vec<u8>) {
    let (disk, mut dice, mut next) = (SimDisk::new(0), Dice::new(1), 0);
    let process = disk.process();
    let mut opened = Journal::create(&process, &fingerprint(3)).unwrap();
    let mut entries = Vec::new();
    for _ in 0..count {
        let jobs = 1 + dice.below(most);
        entries.push(entry(&mut dice, next, jobs));
        next += jobs;
        opened.journal.append(entries.last().unwrap()).unwrap();
    }
    (entries, disk.content(JOURNAL).unwrap())
}

fn disk_with(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new(0);
    disk.put(JOURNAL, bytes);
    disk
}

fn read(bytes: &[u8]) -> Result<Snapshot, JournalError> {
    journal::read(&disk_with(bytes).process())
}

/// Where every line starts, and the end.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let ends = (0..bytes.len()).filter(|&at| bytes[at] == b'\n');
    std::iter::once(0).chain(ends.map(|at| at + 1)).collect()
}

#[test]
fn what_is_appended_is_read_back_to_the_bit() {
    let (disk, mut dice) = (SimDisk::new(0), Dice::new(1));
    let process = disk.process();
    let mut opened = Journal::create(&process, &fingerprint(3)).unwrap();
    let mut entries = Vec::new();
    for job in 0..2000 {
        let mut entry = entry(&mut dice, job, 1);
        let values = vec![finite(&mut dice), dice.word() as f64 / 7e19, -0.0];
        entry.told[0].outcome = Outcome::Scored(Scores::new(values).unwrap());
        opened.journal.append(&entry).unwrap();
        entries.push(entry);
    }
    let snapshot = journal::read(&process).unwrap();
    assert_eq!(
        (snapshot.notice, &snapshot.fingerprint),
        (None, &fingerprint(3))
    );
    assert_eq!(snapshot.entries, entries);
    let bits = |entries: &[Entry]| -> Vec<u64> {
        let told = entries.iter().flat_map(|entry| &entry.told);
        let scores = told.flat_map(|told| told.outcome.scores().unwrap().values());
        scores.map(|score| score.to_bits()).collect()
    };
    assert_eq!(bits(&snapshot.entries), bits(&entries));
}

/// R3: after a cut anywhere the whole lines survive, and what is appended then is read back.
#[test]
fn every_cut_keeps_the_whole_lines() {
    let (entries, bytes) = written(50, 8);
    assert!(entries.iter().map(|entry| entry.told.len()).sum::<usize>() >= 200);
    let starts = starts(&bytes);
    let mut dice = Dice::new(9);
    let more = [1, 2, 3].map(|first| entry(&mut dice, first, 1));
    let mut verified = Vec::new();
    for cut in 0..bytes.len() {
        let disk = disk_with(&bytes[..cut]);
        let process = disk.process();
        let opened = Journal::open(&process, &fingerprint(3));
        let whole = starts.iter().filter(|&&start| start <= cut).count() - 1;
        if whole == 0 {
            assert!(matches!(
                opened,
                Err(JournalError::Damaged { line: 1, byte: 0 })
            ));
            continue;
        }
        let mut opened = opened.unwrap();
        let dropped = cut - starts[whole];
        let notice = (dropped > 0).then_some(Notice {
            dropped,
            line: whole,
        });
        assert_eq!(
            (opened.notice, &opened.entries[..]),
            (notice, &entries[..whole - 1])
        );
        more.iter()
            .for_each(|entry| opened.journal.append(entry).unwrap());
        let content = disk.content(JOURNAL).unwrap();
        if content != verified {
            let again = journal::read(&process).unwrap();
            assert_eq!(again.entries, [&entries[..whole - 1], &more].concat());
            assert_eq!((again.notice, again.head), (None, opened.journal.head()));
            verified = content;
        }
    }
}

/// R4: a flipped bit is named by line and byte; in the last line it costs that line only.
#[test]
fn every_flipped_bit_shows() {
    let (entries, bytes) = written(22, 5);
    assert!(entries.iter().map(|entry| entry.told.len()).sum::<usize>() >= 64);
    let starts = starts(&bytes);
    let last = starts.len() - 2;
    for at in 0..bytes.len() {
        let index = starts.partition_point(|&start| start <= at) - 1;
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let case = format!("byte {at} bit {bit} of line {}", index + 1);
            match read(&bytes) {
                Ok(snapshot) => {
                    assert_eq!(index, last, "{case} was accepted");
                    assert_eq!(snapshot.entries, entries[..entries.len() - 1], "{case}");
                    let dropped = bytes.len() - starts[last];
                    assert_eq!(
                        snapshot.notice,
                        Some(Notice {
                            dropped,
                            line: last
                        }),
                        "{case}"
                    );
                }
                Err(JournalError::Damaged { line, byte }) => {
                    assert!(
                        index < last,
                        "{case}: a bad last line is dropped, not damage"
                    );
                    assert_eq!((line, byte), (index + 1, starts[index]), "{case}");
                }
                Err(error) => panic!("{case}: {error}"),
            }
        }
    }
}

/// R4: lines that moved, doubled or went missing. What is accepted is always a prefix.
#[test]
fn moved_lines_show() {
    let (entries, bytes) = written(64, 1);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let (count, mut dice) = (lines.len(), Dice::new(4));
    for _ in 0..10_000 {
        let (a, b) = (
            dice.below(count as u64) as usize,
            dice.below(count as u64) as usize,
        );
        let mut changed = lines.clone();
        // The first line that is not in its place, and how many stay when that is no damage.
        let (first_bad, kept) = match dice.below(3) {
            0 if a != b => {
                changed.swap(a, b);
                (a.min(b), None)
            }
            1 => {
                changed.insert(a, lines[a]);
                (a + 1, (a + 1 == count).then_some(count))
            }
            _ => {
                changed.remove(a);
                (a, (a + 2 >= count).then_some(a))
            }
        };
        match (read(&changed.concat()), kept) {
            (Ok(snapshot), Some(kept)) => assert_eq!(snapshot.entries, entries[..kept - 1]),
            (Err(JournalError::Damaged { line, byte }), None) => {
                let start: usize = changed[..first_bad].iter().map(|line| line.len()).sum();
                assert_eq!((line, byte), (first_bad + 1, start));
            }
            (result, _) => panic!("line {a}, {b}: {:?}", result.map(|s| s.entries.len())),
        }
    }
}

/// R6: a failed sync ends it; nothing is written after.
#[test]
fn a_failed_write_or_sync_is_final() {
    for (call, fault) in [(0, Fault::Error), (0, Fault::Full), (1, Fault::Error)] {
        let disk = SimDisk::new(0);
        let process = disk.process();
        let mut opened = Journal::create(&process, &fingerprint(3)).unwrap();
        let (call, persistent) = (disk.calls() + call, false);
        disk.plan(Trouble {
            call,
            fault,
            persistent,
        });
        let mut dice = Dice::new(0);
        let first = opened.journal.append(&entry(&mut dice, 0, 1));
        assert!(matches!(first, Err(JournalError::Disk(_))));
        let second = opened.journal.append(&entry(&mut dice, 0, 1));
        assert!(matches!(second, Err(JournalError::Failed)));
        assert_eq!(disk.calls(), call + 1);
    }
}

/// R7: one of two writers proceeds; the other learns who is in the way.
#[test]
fn a_second_writer_is_refused() {
    let disk = SimDisk::new(0);
    let (first, second) = (disk.process(), disk.process());
    let opened = Journal::create(&first, &fingerprint(3)).unwrap();
    let refused = Journal::open(&second, &fingerprint(3))
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        refused,
        "the run is in use by process 1; wait for it or stop it"
    );
    drop(opened);
    drop(first);
    assert!(Journal::open(&second, &fingerprint(3)).is_ok());
}

#[test]
fn another_run_is_refused_by_name() {
    let disk = SimDisk::new(0);
    let process = disk.process();
    let missing = Journal::open(&process, &fingerprint(3)).err().unwrap();
    assert!(matches!(missing, JournalError::Missing));
    Journal::create(&process, &fingerprint(3)).unwrap();
    let again = Journal::create(&process, &fingerprint(3)).err().unwrap();
    assert!(matches!(again, JournalError::Exists));
    let before = disk.content(JOURNAL);
    let other = Journal::open(&process, &fingerprint(4)).err().unwrap();
    let text = "this is another run: seed is 3 in journal.jsonl, but 4 here; \
                resume it with the same settings, files and program";
    assert_eq!(other.to_string(), text);
    assert_eq!(disk.content(JOURNAL), before);
}

#[test]
fn limits_hold() {
    let disk = SimDisk::new(0);
    let process = disk.process();
    let mut opened = Journal::create(&process, &fingerprint(3)).unwrap();
    let long = opened.journal.append(&entry(&mut Dice::new(0), 0, 1000));
    assert!(matches!(long, Err(JournalError::LineTooLong { bytes }) if bytes > JOURNAL_LINE_MAX));
    assert!(
        opened
            .journal
            .append(&entry(&mut Dice::new(0), 0, 1))
            .is_ok()
    );
    let large = process.read(JOURNAL, 10);
    assert!(matches!(large, Err(DiskError::TooLarge { limit: 10, .. })));
}

#[test]
fn versions_that_are_not_known_are_refused() {
    let (_, bytes) = written(2, 1);
    let text = String::from_utf8(bytes).unwrap();
    // Chain a line of another kind after the first two lines.
    let lines: Vec<&str> = text.lines().collect();
    let json = br#"{"later":1}"#;
    let before = u64::from_str_radix(&lines[1][..16], 16)
        .unwrap()
        .to_be_bytes();
    let hash = blake3::hash(&[&before[..], json].concat());
    let digits: String = hash.as_bytes()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let changed = format!("{}\n{}\n{digits} {{\"later\":1}}\n", lines[0], lines[1]);
    let refused = read(changed.as_bytes()).unwrap_err();
    assert!(
        matches!(refused, JournalError::Unreadable { line: 3, .. }),
        "{refused}"
    );
}

#[test]
fn the_end_is_remembered() {
    let disk = SimDisk::new(0);
    let process = disk.process();
    let mut opened = Journal::create(&process, &fingerprint(3)).unwrap();
    let ended = Some(StopReason::Target);
    let last = Entry {
        ended,
        ..Entry::default()
    };
    opened.journal.append(&last).unwrap();
    assert_eq!(journal::read(&process).unwrap().entries, [last]);
}
