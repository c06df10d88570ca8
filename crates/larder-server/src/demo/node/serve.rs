//! Reading a node over loopback: a line asks for a row, a line answers.
//!
//! `get <kind> <id> <token or ->` is answered by `<version or -> <applied>`, the latter as it was before the read began; `residents` by one line
//! `<kind> <id> <version>` for each live entry, and a dot; `explain <kind> <id>` by one line in words. `plain <kind> <id>` and `plain-residents` ask the
//! plain cache beside for the same, without a position.

use std::sync::Arc;

use larder::Token;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::shop::{CUSTOMER, ORDER, PRODUCT};
use super::Node;
use super::explain::explained;
use crate::fault::Fault;

pub(super) async fn serve(node: Arc<Node>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let node = Arc::clone(&node);
        // A caller who goes away is no fault of the node.
        tokio::spawn(async move { drop(answer(&node, stream).await) });
    }
}

async fn answer(node: &Node, stream: TcpStream) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = answer_to(node, &line).await?;
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

async fn answer_to(node: &Node, line: &str) -> Result<String, Fault> {
    let mut words = line.split(' ');
    let (asked, kind, id) = (words.next(), words.next(), words.next());
    let row = || Ok::<_, Fault>((kind.unwrap_or("").parse()?, id.unwrap_or("").parse()?));
    let in_words =
        |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    Ok(match asked {
        Some("get") => {
            let token = match words.next() {
                None | Some("-") => None,
                Some(token) => Some(token.parse::<Token>()?),
            };
            let applied = node.applied();
            let (version, _) = node.version(row()?, token.as_ref()).await?;
            format!("{} {applied}\n", in_words(version))
        }
        Some("plain") => match &node.plain {
            Some(plain) => format!("{}\n", in_words(plain.version(row()?).await?)),
            None => "?\n".to_owned(),
        },
        Some("explain") => format!("{}\n", explained(&node.layer, row()?)),
        Some("residents") => residents(node),
        Some("plain-residents") => {
            let all = node.plain.as_ref().map(|plain| plain.residents());
            let lines = all.unwrap_or_default().into_iter();
            let mut lines: String = lines
                .map(|((kind, id), version)| format!("{kind} {id} {version}\n"))
                .collect();
            lines.push_str(".\n");
            lines
        }
        Some("applied") => format!("{}\n", node.applied()),
        _ => "?\n".to_owned(),
    })
}

fn residents(node: &Node) -> String {
    let mut lines = String::new();
    let mut push = |kind: u8, id: i64, version: u64| lines.push_str(&format!("{kind} {id} {version}\n"));
    node.customers
        .snapshot()
        .iter()
        .for_each(|row| push(CUSTOMER, row.id, row.version));
    node.products
        .snapshot()
        .iter()
        .for_each(|row| push(PRODUCT, row.id, row.version));
    node.orders
        .snapshot()
        .iter()
        .for_each(|row| push(ORDER, row.id, row.version));
    lines.push_str(".\n");
    lines
}
