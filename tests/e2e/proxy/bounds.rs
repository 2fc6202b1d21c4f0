//! Clients that take more than their share: of time, of connections.

use super::*;

#[test]
fn a_slow_client_delays_nobody_and_is_given_up() {
    let bounds = Bounds {
        head: Duration::from_secs(1),
        upload_silence: Duration::from_secs(1),
        ..Bounds::default()
    };
    let stage = Stage::new(bounds);
    let mut dawdlers: Vec<TcpStream> = (0..50)
        .map(|_| stage.sent("GET / HTTP/1.1\r\nhost: loc"))
        .collect();
    let mut silent = stage.sent("POST /up HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nabc");
    let mut stuck = stage.accept();
    head(&mut stuck);

    let begun = Instant::now();
    let mut quick = stage.sent("GET /quick HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stage.serve_one("quick");
    assert!(read_until(&mut quick, "quick").contains("200 OK"));
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "the quick one waited {:?}",
        begun.elapsed()
    );

    for dawdler in &mut dawdlers {
        let said = read_until(dawdler, "");
        assert!(!said.contains("200"), "{said}");
    }
    let said = read_until(&mut silent, "\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 502"), "{said}");
    assert_eq!(
        stuck.read_to_end(&mut Vec::new()).unwrap_or(0),
        3,
        "three bytes of nine, then the end"
    );
}

#[test]
fn the_time_of_an_upload_is_not_the_time_of_the_answer() {
    let limit = Duration::from_secs(3);
    let stage = Stage::new(Bounds {
        answer: limit,
        ..Bounds::default()
    });
    let mut client = stage.sent("POST /up HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n");
    let mut instance = stage.accept();
    head(&mut instance);
    let begun = Instant::now();
    for _ in 0..9 {
        let_pass(limit / 6);
        client.write_all(b".").expect("the front reads");
        instance.read_exact(&mut [0]).expect("the front passes it on");
    }
    assert!(begun.elapsed() > limit);
    // It has all of its time from here on, and no more.
    let said = read_until(&mut client, "\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
    assert!(begun.elapsed() > limit * 2);
}

#[test]
fn more_connections_than_allowed_wait_their_turn() {
    let bounds = Bounds {
        connections: 2,
        head: Duration::from_secs(1),
        ..Bounds::default()
    };
    let stage = Stage::new(bounds);
    let _idle: Vec<TcpStream> = (0..2).map(|_| stage.client()).collect();
    let mut third = stage.sent("GET /third HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stage.serve_one("third");
    assert!(read_until(&mut third, "third").contains("200 OK"));
}

/// The head of a request that becomes a WebSocket.
const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Takes a request for a WebSocket as the instance does.
fn upgraded(stage: &Stage, client: &mut TcpStream) -> BufReader<UnixStream> {
    let mut instance = stage.accept();
    head(&mut instance);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let answered = instance.get_mut().write_all(answer.as_bytes());
    answered.expect("the front reads");
    assert!(read_until(client, "\r\n\r\n").starts_with("HTTP/1.1 101"));
    instance
}

#[test]
fn one_client_cannot_take_all_connections() {
    // Reached from outside, by what it is bound to: on a loopback address nobody is counted.
    let stage = Stage::on(
        "0.0.0.0",
        Bounds {
            per_client: 2,
            ..Bounds::default()
        },
    );
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // A connection that became a WebSocket is still one.
    let mut first = stage.sent(UPGRADE);
    let instance = upgraded(&stage, &mut first);
    let mut second = stage.sent(request);
    stage.serve_one("yes");
    assert!(read_until(&mut second, "yes").ends_with("yes"));
    let said = read_until(&mut stage.sent(request), "");
    assert!(
        said.starts_with("HTTP/1.1 429") && said.contains("connections-per-client"),
        "{said}"
    );
    assert!(said.to_lowercase().contains("connection: close"), "{said}");

    let elsewhere = std::net::SocketAddr::from(([127, 0, 0, 2], 0));
    let other = stage.runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(elsewhere)?;
        let stream = socket.connect(([127, 0, 0, 1], stage.port).into()).await?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok::<_, std::io::Error>(stream)
    });
    let mut other = other.expect("another client");
    other.write_all(request.as_bytes()).expect("the front reads");
    stage.serve_one("you too");
    assert!(read_until(&mut other, "you too").ends_with("you too"));

    drop((first, instance));
    eventually("room for another connection", Duration::from_secs(10), || {
        let mut again = stage.sent("GET / HTTP/1.1\r\nhost: elsewhere\r\n\r\n");
        let said = read_until(&mut again, "\r\n\r\n");
        if said.starts_with("HTTP/1.1 421") {
            Ok(())
        } else {
            Err(said)
        }
    });
}
