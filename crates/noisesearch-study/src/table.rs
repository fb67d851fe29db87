//! Rows as a Parquet table of flat columns, one a verifier and kind of number.
//!
//! ```text
//! study, arm, point, task, category, seed, candidates, search_nfe, final_nfe, paper_nfe,
//! total_nfe, passes, gflop, seconds, recipe, optimised (joined by commas),
//! score:V  pass:V  again:V  rank:V                                     for every verifier V,
//! pool_candidates:V  pool_mean:V  pool_deviation:V  pool_correlation:V  where a row has them
//! ```

use crate::error::StudyError;
use crate::row::{Pool, Row};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A column; `None` is null.
enum Column {
    Text(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Bool(Vec<Option<bool>>),
}

/// The bytes of the table.
pub fn write(rows: &[Row]) -> std::result::Result<Vec<u8>, StudyError> {
    Ok(encode(&columns(rows))?)
}

fn columns(rows: &[Row]) -> Vec<(String, Column)> {
    let text = |of: fn(&Row) -> Option<&str>| {
        Column::Text(rows.iter().map(|row| of(row).map(str::to_owned)).collect())
    };
    let integer = |of: fn(&Row) -> u64| {
        // Seeds end at 2^63 - 1, and no cost comes near it.
        let count = |row| i64::try_from(of(row)).ok();
        Column::Integer(rows.iter().map(count).collect())
    };
    let number = |of: fn(&Row) -> Option<f64>| Column::Number(rows.iter().map(of).collect());
    let optimised = rows.iter().map(|row| Some(row.optimised.join(",")));
    let fixed = [
        ("study", text(|row| Some(&row.study))),
        ("arm", text(|row| Some(&row.arm))),
        ("point", integer(|row| row.point as u64)),
        ("task", text(|row| Some(&row.task))),
        ("category", text(|row| row.category.as_deref())),
        ("seed", integer(|row| row.seed)),
        ("candidates", integer(|row| row.cost.candidates)),
        ("search_nfe", integer(|row| row.cost.search_nfe)),
        ("final_nfe", integer(|row| row.cost.final_nfe)),
        ("paper_nfe", integer(|row| row.cost.paper_nfe)),
        (
            "total_nfe",
            integer(|row| row.cost.search_nfe + row.cost.final_nfe),
        ),
        ("passes", integer(|row| row.cost.passes)),
        ("gflop", number(|row| row.cost.gflop)),
        ("seconds", number(|row| Some(row.cost.seconds))),
        ("recipe", text(|row| Some(&row.recipe))),
        ("optimised", Column::Text(optimised.collect())),
    ];
    let mut columns: Vec<_> = fixed.map(|(name, column)| (name.to_owned(), column)).into();
    columns.extend(judged(rows));
    columns
}

/// A number of a pool.
type OfPool = fn(&Pool) -> f64;

/// Numbers by verifier that not every study has.
type OfRow = fn(&Row) -> &BTreeMap<String, f64>;
const OF_AGAIN: OfRow = |row| &row.again;
const OF_RANKS: OfRow = |row| &row.ranks;

/// The columns of verifiers.
fn judged(rows: &[Row]) -> Vec<(String, Column)> {
    let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.scores.keys()).collect();
    let mut columns = Vec::new();
    for &name in &names {
        let score = rows.iter().map(|row| row.scores.get(name).copied());
        columns.push((format!("score:{name}"), Column::Number(score.collect())));
        let pass: Vec<_> = rows
            .iter()
            .map(|row| row.passes.get(name).copied())
            .collect();
        if pass.iter().any(Option::is_some) {
            columns.push((format!("pass:{name}"), Column::Bool(pass)));
        }
        for (what, of) in [("again", OF_AGAIN), ("rank", OF_RANKS)] {
            let number: Vec<_> = rows.iter().map(|row| of(row).get(name).copied()).collect();
            if number.iter().any(Option::is_some) {
                columns.push((format!("{what}:{name}"), Column::Number(number)));
            }
        }
        let pools = rows.iter().map(|row| row.pool.get(name));
        // No search has 2^63 candidates.
        let counts = pools.map(|pool| i64::try_from(pool?.candidates).ok());
        columns.push((
            format!("pool_candidates:{name}"),
            Column::Integer(counts.collect()),
        ));
        let of: [(&str, OfPool); 3] = [
            ("mean", |pool| pool.mean),
            ("deviation", |pool| pool.deviation),
            ("correlation", |pool| pool.correlation),
        ];
        for (what, of) in of {
            let pool = rows.iter().map(|row| row.pool.get(name).map(of));
            columns.push((
                format!("pool_{what}:{name}"),
                Column::Number(pool.collect()),
            ));
        }
    }
    columns
}

fn encode(columns: &[(String, Column)]) -> Result<Vec<u8>> {
    let fields = columns
        .iter()
        .map(|(name, column)| Ok(Arc::new(column.field(name)?)));
    let schema = Type::group_type_builder("study").with_fields(fields.collect::<Result<_>>()?);
    let schema = Arc::new(schema.build()?);
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = file.next_row_group()?;
    for (_, column) in columns {
        let Some(writer) = group.next_column()? else {
            break;
        };
        column.write(writer)?;
    }
    group.close()?;
    file.into_inner()
}

impl Column {
    fn field(&self, name: &str) -> Result<Type> {
        let (physical, logical) = match self {
            Self::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Integer(_) => (Physical::INT64, None),
            Self::Number(_) => (Physical::DOUBLE, None),
            Self::Bool(_) => (Physical::BOOLEAN, None),
        };
        let field = Type::primitive_type_builder(name, physical);
        let field = field.with_repetition(Repetition::OPTIONAL);
        field.with_logical_type(logical).build()
    }

    fn write(&self, mut writer: SerializedColumnWriter) -> Result<()> {
        fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
            values
                .iter()
                .map(|value| i16::from(value.is_some()))
                .collect()
        }
        match self {
            Self::Text(values) => {
                let there = values
                    .iter()
                    .flatten()
                    .map(|text| ByteArray::from(text.as_str()));
                let there: Vec<_> = there.collect();
                let writer = writer.typed::<ByteArrayType>();
                writer.write_batch(&there, Some(&levels(values)), None)?;
            }
            Self::Integer(values) => {
                let there: Vec<i64> = values.iter().flatten().copied().collect();
                let writer = writer.typed::<Int64Type>();
                writer.write_batch(&there, Some(&levels(values)), None)?;
            }
            Self::Number(values) => {
                let there: Vec<f64> = values.iter().flatten().copied().collect();
                let writer = writer.typed::<DoubleType>();
                writer.write_batch(&there, Some(&levels(values)), None)?;
            }
            Self::Bool(values) => {
                let there: Vec<bool> = values.iter().flatten().copied().collect();
                let writer = writer.typed::<BoolType>();
                writer.write_batch(&there, Some(&levels(values)), None)?;
            }
        }
        writer.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FILE, file, rows};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    /// Every column that the rows of the made-up study give, of its third row.
    fn read_back(rows: &[Row]) -> BTreeMap<String, Field> {
        let bytes = std::env::temp_dir().join(format!("table-{}.parquet", std::process::id()));
        std::fs::write(&bytes, write(rows).unwrap()).unwrap();
        let reader = SerializedFileReader::new(std::fs::File::open(&bytes).unwrap()).unwrap();
        let found: Vec<_> = reader.get_row_iter(None).unwrap().collect();
        std::fs::remove_file(&bytes).unwrap();
        assert_eq!(found.len(), rows.len());
        let third = found.into_iter().nth(2).unwrap().unwrap();
        third.into_columns().into_iter().collect()
    }

    /// Regression: second looks, ranks and the sizes of pools were in `results.jsonl` alone.
    #[test]
    fn the_table_holds_what_the_rows_hold() {
        let mut rows = rows(&file(FILE), 3, &|_, point| 0.4 + 0.1 * point as f64);
        let plain = read_back(&rows);
        assert!(!plain.contains_key("again:clip") && !plain.contains_key("rank:clip"));
        rows[2].again.insert("clip".into(), 0.25);
        rows[1].ranks.insert("clip".into(), 0.5);
        let (row, found) = (&rows[2], read_back(&rows));
        let long = |value: u64| Field::Long(value as i64);
        let text = |value: &str| Field::Str(value.into());
        let pool = row.pool["grader"];
        for (name, value) in [
            ("arm", text(&row.arm)),
            ("point", long(row.point as u64)),
            ("task", text(&row.task)),
            ("category", text(row.category.as_ref().unwrap())),
            ("seed", long(row.seed)),
            ("candidates", long(row.cost.candidates)),
            ("total_nfe", long(row.cost.search_nfe + row.cost.final_nfe)),
            ("gflop", Field::Null),
            ("seconds", Field::Double(row.cost.seconds)),
            ("recipe", text(&row.recipe)),
            ("optimised", text("clip")),
            ("score:clip", Field::Double(row.scores["clip"])),
            ("pass:grader", Field::Bool(row.passes["grader"])),
            ("again:clip", Field::Double(0.25)),
            ("rank:clip", Field::Null),
            ("pool_candidates:grader", long(pool.candidates)),
            ("pool_mean:grader", Field::Double(pool.mean)),
            ("pool_deviation:grader", Field::Double(pool.deviation)),
            ("pool_correlation:grader", Field::Double(pool.correlation)),
        ] {
            assert_eq!(found[name], value, "{name}");
        }
    }
}
