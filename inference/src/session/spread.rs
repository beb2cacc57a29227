//! Has a graph take one number for each copy of the sample where it takes one for all of them: the
//! timestep of optimum's exports, which is a scalar that the graph itself spreads over the copies
//! (`Unsqueeze`, then `Expand`). Without the first of these two a list goes the same way.
//!
//! Field numbers are those of `onnx.proto`.

use super::proto::{self, Field, put_bytes};
use super::value_info::{name_of, rewrite_tensor};

const NODE: u64 = 1;
const INPUT: u64 = 11;
const VALUE_INFO: u64 = 13;

/// The graph of `model` with its scalar input of that name as a list; `None` where it uses the input
/// in another way, or isn't understood.
pub(super) fn spread(model: &[u8], input: &str) -> Option<Vec<u8>> {
    proto::rewrite(model, &[7], |_, payload| graph(payload, input.as_bytes()))
}

/// Rewrites the model's `GraphProto`.
fn graph(payload: &[u8], input: &[u8]) -> Option<Vec<u8>> {
    let fields = proto::fields(payload)?;
    let nodes: Vec<_> =
        fields.iter().filter(|field| field.number == NODE).map(Node::of).collect::<Option<_>>()?;
    let first = only_reader(&nodes, input)?;
    if first.operator != b"Unsqueeze" || first.inputs.first() != Some(&input) {
        return None;
    }
    // What is said of the lengths in between would be wrong.
    let mut between = vec![first.output?];
    loop {
        let reader = only_reader(&nodes, between.last()?)?;
        let reads_first = reader.inputs.first() == between.last();
        match reader.operator {
            b"Cast" if reads_first => between.push(reader.output?),
            b"Expand" if reads_first => break,
            _ => return None,
        }
    }
    let mut bytes = Vec::with_capacity(payload.len() + 64);
    for field in &fields {
        match (field.number, field.bytes()) {
            (NODE, Some(payload)) if payload == first.payload => {
                put_bytes(&mut bytes, NODE, &identity(input, between[0]));
            }
            (INPUT, Some(payload)) if name_of(payload) == Some(input) => {
                put_bytes(&mut bytes, INPUT, &listed(payload)?);
            }
            (VALUE_INFO, Some(payload))
                if name_of(payload).is_some_and(|name| between.contains(&name)) => {}
            _ => bytes.extend_from_slice(field.raw),
        }
    }
    Some(bytes)
}

/// A `NodeProto`.
struct Node<'a> {
    payload: &'a [u8],
    operator: &'a [u8],
    inputs: Vec<&'a [u8]>,
    /// Its output, if it has one alone.
    output: Option<&'a [u8]>,
    /// Its attributes, whose graphs may read what they like.
    attributes: Vec<&'a [u8]>,
}

impl<'a> Node<'a> {
    fn of(field: &Field<'a>) -> Option<Self> {
        let payload = field.bytes()?;
        let fields = proto::fields(payload)?;
        let all = |number| {
            fields.iter().filter(move |field| field.number == number).filter_map(Field::bytes)
        };
        let mut outputs = all(2);
        let output = outputs.next().filter(|_| outputs.next().is_none());
        Some(Self {
            payload,
            operator: all(4).next()?,
            inputs: all(1).collect(),
            output,
            attributes: all(5).collect(),
        })
    }

    /// Whether it reads a value, or a graph within it may.
    fn reads(&self, name: &[u8]) -> bool {
        let mentions = |text: &&[u8]| text.windows(name.len()).any(|part| part == name);
        self.inputs.contains(&name) || self.attributes.iter().any(mentions)
    }
}

/// The one node that reads a value.
fn only_reader<'n, 'a>(nodes: &'n [Node<'a>], name: &[u8]) -> Option<&'n Node<'a>> {
    let mut readers = nodes.iter().filter(|node| node.reads(name));
    readers.next().filter(|_| !name.is_empty() && readers.next().is_none())
}

/// A node that gives what it takes.
fn identity(input: &[u8], output: &[u8]) -> Vec<u8> {
    let mut node = Vec::new();
    put_bytes(&mut node, 1, input);
    put_bytes(&mut node, 2, output);
    put_bytes(&mut node, 4, b"Identity");
    node
}

/// The `ValueInfoProto` of a scalar as that of a list of any length.
fn listed(payload: &[u8]) -> Option<Vec<u8>> {
    // its shape (2), which gets one dim (1)
    rewrite_tensor(payload, |tensor| {
        proto::rewrite(tensor, &[2], |_, shape| {
            let mut list = shape.to_vec();
            put_bytes(&mut list, 1, &[]);
            shape.is_empty().then_some(list)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        fields.iter().for_each(|(number, payload)| put_bytes(&mut out, *number, payload));
        out
    }

    fn node(operator: &str, inputs: &[&str], output: &str, attribute: &[u8]) -> Vec<u8> {
        let mut fields: Vec<_> = inputs.iter().map(|name| (1, name.as_bytes())).collect();
        fields.extend([(2, output.as_bytes()), (4, operator.as_bytes()), (5, attribute)]);
        message(&fields)
    }

    /// A model of these nodes, with the scalar input `t` and what is known of `u`.
    fn model(nodes: &[Vec<u8>]) -> Vec<u8> {
        let scalar = message(&[(1, &message(&[(2, &[])]))]);
        let (input, between) = (message(&[(1, b"t"), (2, &scalar)]), message(&[(1, b"u")]));
        let mut graph: Vec<_> = nodes.iter().map(|node| (NODE, node.as_slice())).collect();
        graph.extend([(INPUT, input.as_slice()), (VALUE_INFO, between.as_slice())]);
        message(&[(7, &message(&graph))])
    }

    fn head() -> Vec<Vec<u8>> {
        vec![
            node("Unsqueeze", &["t", "axes"], "u", b""),
            node("Cast", &["u"], "c", b"kind"),
            node("Expand", &["c", "shape"], "e", b""),
            node("Sin", &["e"], "s", b""),
        ]
    }

    #[test]
    fn a_list_takes_the_scalars_way() {
        let spread = spread(&model(&head()), "t").expect("a graph that is understood");
        let graph = proto::fields(&spread).unwrap()[0].bytes().unwrap();
        let fields = proto::fields(graph).unwrap();
        let first = Node::of(&fields[0]).unwrap();
        assert_eq!((first.operator, first.inputs.as_slice()), (&b"Identity"[..], &[&b"t"[..]][..]));
        assert_eq!(first.output, Some(&b"u"[..]));
        let list = message(&[(1, &message(&[(2, &message(&[(1, &[])]))]))]);
        assert_eq!(fields[4].bytes().unwrap(), message(&[(1, b"t"), (2, &list)]));
        assert_eq!(fields.len(), 5, "nothing is said of u");
    }

    #[test]
    fn a_scalar_that_is_used_otherwise_stays_one() {
        let also = |node| [head(), vec![node]].concat();
        for nodes in [
            also(node("Mul", &["x", "t"], "y", b"")),
            also(node("Mul", &["x", "c"], "y", b"")),
            also(node("If", &["x"], "y", b"a graph that reads t")),
            vec![node("Unsqueeze", &["axes", "t"], "u", b""), head()[2].clone()],
            head()[..2].to_vec(),
            vec![node("Mul", &["t", "x"], "u", b"")],
        ] {
            assert_eq!(spread(&model(&nodes), "t"), None);
        }
        assert_eq!(spread(&model(&head()), "x"), None);
        assert_eq!(spread(b"no model", "t"), None);
    }
}
