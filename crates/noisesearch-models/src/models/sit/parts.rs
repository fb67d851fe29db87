//! A checkpoint's layers, in the order of [`SitConfig::manifest`].

use super::SitConfig;

/// A linear layer as it is in the file.
pub(super) struct Raw {
    /// `[outputs, inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
    pub inputs: usize,
    /// Whether it is one of a block's.
    pub inside: bool,
}

/// Everything that a network keeps, its layers in the form that suits it.
pub(super) struct Parts<L> {
    pub patch: L,
    pub time: [L; 2],
    pub blocks: Vec<BlockParts<L>>,
    /// Its outputs are `[dy, dx, channels]`.
    pub last: L,
    pub last_modulation: L,
    /// `[classes + 1, hidden]`; the last row stands for no class.
    pub class_table: Vec<f32>,
    /// `[tokens, hidden]`.
    pub positions: Vec<f32>,
}

/// Those of a block.
#[derive(Debug)]
pub(super) struct BlockParts<L> {
    pub qkv: L,
    pub project: L,
    pub widen: L,
    pub narrow: L,
    pub modulation: L,
}

/// Asks `take` once for every tensor, by name and shape, and has each layer kept before the next
/// one is read.
pub(super) fn read<L, E>(
    config: &SitConfig,
    mut take: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    mut keep: impl FnMut(Raw) -> Result<L, E>,
) -> Result<Parts<L>, E> {
    let mut manifest = config.manifest().into_iter();
    let mut next = || match manifest.next() {
        Some((name, shape)) => take(&name, &shape).map(|floats| (floats, shape)),
        None => unreachable!("the manifest holds every tensor that is asked for"),
    };
    let mut raw = |inside| -> Result<Raw, E> {
        let ((weight, shape), (bias, _)) = (next()?, next()?);
        Ok(Raw {
            weight,
            bias,
            inputs: shape[1..].iter().product(),
            inside,
        })
    };
    let patch = keep(raw(false)?)?;
    let time = [keep(raw(false)?)?, keep(raw(false)?)?];
    let mut block = || -> Result<_, E> {
        Ok(BlockParts {
            qkv: keep(raw(true)?)?,
            project: keep(raw(true)?)?,
            widen: keep(raw(true)?)?,
            narrow: keep(raw(true)?)?,
            modulation: keep(raw(true)?)?,
        })
    };
    let blocks = (0..config.depth)
        .map(|_| block())
        .collect::<Result<_, E>>()?;
    Ok(Parts {
        patch,
        time,
        blocks,
        last: keep(used(config, raw(false)?))?,
        last_modulation: keep(raw(false)?)?,
        class_table: next()?.0,
        positions: next()?.0,
    })
}

/// The last layer without the channels that are predicted and not used.
fn used(config: &SitConfig, raw: Raw) -> Raw {
    let used = |output: &usize| output % config.predicted_channels() < config.channels;
    let kept: Vec<usize> = (0..raw.bias.len()).filter(used).collect();
    let rows = kept
        .iter()
        .flat_map(|&o| &raw.weight[o * raw.inputs..][..raw.inputs]);
    Raw {
        weight: rows.copied().collect(),
        bias: kept.iter().map(|&o| raw.bias[o]).collect(),
        ..raw
    }
}
