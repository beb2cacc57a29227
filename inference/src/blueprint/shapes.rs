//! Lengths that are built into a graph's inputs, judged by what the graph will be given: exporters and
//! optimisers leave a batch, a size or a number of tokens there, and it fits whoever needs just that.

use crate::session::Port;

/// How long an axis of an input is when the graph runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Axis {
    /// One of these numbers of samples at once.
    Batch(&'static [usize]),
    /// This length.
    Length(usize),
    /// Whatever is built in, which somebody else judges.
    Any,
}

/// What is wrong with an input that is given tensors with these axes; none if nothing is.
pub(super) fn misfit(port: &Port, axes: &[Axis]) -> Option<String> {
    let name = port.shown_name();
    if port.rank() != axes.len() {
        let (own, wanted) = (port.rank(), axes.len());
        return Some(format!(
            "input {name} has {own} dimensions, not {wanted}; export the graph again"
        ));
    }
    let built_in = port.dims.iter().zip(axes).enumerate();
    let mut built_in = built_in.filter_map(|(place, (dim, axis))| Some((place, (*dim)?, *axis)));
    built_in.find_map(|(place, own, axis)| match axis {
        Axis::Batch(counts) if !counts.contains(&own) => {
            let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
            Some(format!(
                "input {name} has a batch of {own} built in, and is given {} at once; export it with \
                 an open batch axis",
                counts.join(" or ")
            ))
        }
        Axis::Length(length) if length != own => Some(format!(
            "input {name} has {own} built in as the length of axis {place}, and is given {length}; \
             export it with that axis open"
        )),
        Axis::Batch(_) | Axis::Length(_) | Axis::Any => None,
    })
}

#[cfg(test)]
mod tests {
    use hearth_api::tensor::Dtype;

    use super::*;

    #[test]
    fn a_length_that_is_built_in_fits_who_gives_just_that() {
        let said = |dims: &[Option<usize>], axes: &[Axis]| {
            misfit(&Port { name: "x".to_owned(), dtype: Dtype::F32, dims: dims.to_vec() }, axes)
        };
        const ONE: Axis = Axis::Batch(&[1]);
        const BOTH: Axis = Axis::Batch(&[1, 2]);
        for (dims, axes) in [
            (&[None, None][..], &[ONE, Axis::Length(7)][..]),
            (&[Some(1), Some(7)], &[ONE, Axis::Length(7)]),
            (&[Some(2), Some(9)], &[BOTH, Axis::Any]),
            (&[], &[]),
        ] {
            assert_eq!(said(dims, axes), None, "{dims:?}");
        }
        for (dims, axes, message) in [
            (
                &[Some(2), None][..],
                &[ONE, Axis::Any][..],
                "a batch of 2 built in, and is given 1 at",
            ),
            (&[Some(4), None], &[BOTH, Axis::Any], "a batch of 4 built in, and is given 1 or 2 at"),
            (
                &[None, Some(9)],
                &[ONE, Axis::Length(7)],
                "9 built in as the length of axis 1, and is",
            ),
            (&[None], &[ONE, Axis::Any], "1 dimensions, not 2"),
        ] {
            let said = said(dims, axes).unwrap();
            assert!(said.contains(message) && said.contains("; export"), "{said}");
        }
    }
}
