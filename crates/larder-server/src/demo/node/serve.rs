//! Reading a node over loopback: a line asks for a row, a line answers.
//!
//! `get <kind> <id> <token or ->` is answered by `<version or -> <applied>`, the latter as it was before the read began; `residents` by one line
//! `<kind> <id> <version>` for each live entry, and a dot.

use std::sync::Arc;

use larder::Token;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::shop::{CUSTOMER, ORDER, PRODUCT};
use super::Node;
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
        let mut words = line.split(' ');
        let answer = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("get"), Some(kind), Some(id), Some(token)) => {
                let token = if token == "-" {
                    None
                } else {
                    Some(token.parse::<Token>()?)
                };
                let row = (kind.parse()?, id.parse()?);
                let applied = node.applied();
                let (version, _) = node.version(row, token.as_ref()).await?;
                let version = version.map_or_else(|| "-".to_owned(), |version| version.to_string());
                format!("{version} {applied}\n")
            }
            (Some("residents"), ..) => residents(node),
            (Some("applied"), ..) => format!("{}\n", node.applied()),
            _ => "?\n".to_owned(),
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
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
