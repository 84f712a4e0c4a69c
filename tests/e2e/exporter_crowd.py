# SPDX-License-Identifier: Apache-2.0
"""Bad clients of shm-exporter, all at once: exporter_crowd.py HOST PORT AUTHORIZATION

200 slow ones (half send a byte now and then, half ask with the right password and hardly read), 1,000 that say nothing,
10,000 requests with wrong passwords, and as long as these last: 64 KiB of headers, pipelined and half-closed requests.
Prints "ready" when idle clients are connected and who reads slowly has the first byte of its answer, waits for a line on
standard input, then for the wrong passwords to be answered, and prints as JSON what was answered how often. Ends at the
end of standard input."""
import asyncio
import base64
import json
import socket
import sys

SLOW, IDLE, GUESSES = 200, 1000, 10000
GUESSING, LONG, PIPELINING, HALF_CLOSING, PIPELINED = 40, 20, 10, 10, 10

host, port, authorization = sys.argv[1], int(sys.argv[2]), sys.argv[3]
answers = {}
guessed = 0


def count(kind, what):
    answers.setdefault(kind, {}).setdefault(what, 0)
    answers[kind][what] += 1


def request(path, password=authorization, more=""):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {password}\r\n{more}\r\n".encode()


def connect():
    return asyncio.open_connection(host, port)


async def answer_of(reader):
    """Status of an answer; its body is read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)
    return head.split()[1].decode()


async def send_slowly(writer):
    writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
    while True:
        await asyncio.sleep(1)
        writer.write(b"x")


async def read_slowly(plain, under_way):
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(plain, request("/metrics"))
    await loop.sock_recv(plain, 1)
    under_way.set()
    while await loop.sock_recv(plain, 1):
        await asyncio.sleep(1)


async def guess():
    global guessed
    reader = writer = None
    while guessed < GUESSES:
        guessed += 1
        user = "alice" if guessed % 2 else "mallory"
        wrong = "Basic " + base64.b64encode(f"{user}:guess {guessed}".encode()).decode()
        while True:
            try:
                if writer is None:
                    reader, writer = await connect()
                writer.write(request("/metrics", wrong))
                count("guess", await answer_of(reader))
                break
            except (OSError, asyncio.IncompleteReadError):  # closed after an earlier answer
                writer.close()
                writer = None
    writer.close()


async def whole_answer(kind, data, half_closed=False):
    """What is sent at once, and every status that comes back."""
    try:
        reader, writer = await connect()
        writer.write(data)
        if half_closed:
            writer.write_eof()
        received = await reader.read()
        for status in received.split(b"HTTP/1.1 ")[1:]:
            count(kind, status[:3].decode())
        if not received:
            count(kind, "closed")
        writer.close()
    except OSError:
        count(kind, "closed")


async def again_and_again(kind, data, half_closed=False):
    while True:
        await whole_answer(kind, data, half_closed)


async def main():
    loop = asyncio.get_running_loop()
    tasks, idle = [], []
    for _ in range(IDLE):
        idle.append(await connect())
    for _ in range(SLOW // 2):
        tasks.append(loop.create_task(send_slowly((await connect())[1])))
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        await loop.sock_connect(plain, (host, port))
        under_way = asyncio.Event()
        tasks.append(loop.create_task(read_slowly(plain, under_way)))
        await under_way.wait()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    last = request("/-/healthy", more="Connection: close\r\n")
    kinds = ((LONG, ("long", request("/metrics", more=f"X-Long: {'x' * 65536}\r\n"))),
             (PIPELINING, ("pipelined", request("/-/healthy") * (PIPELINED - 1) + last)),
             (HALF_CLOSING, ("half-closed", request("/metrics", more="Connection: close\r\n"), True)))
    tasks += [loop.create_task(again_and_again(*what)) for n, what in kinds for _ in range(n)]
    await asyncio.gather(*(guess() for _ in range(GUESSING)))
    print(json.dumps(answers), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for task in tasks:
        task.cancel()


asyncio.run(main())
