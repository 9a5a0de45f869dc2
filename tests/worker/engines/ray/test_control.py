"""The messages between a worker and its hosts, and the connections that carry them."""

import socket

import msgspec
import pytest

from worker.engines.ray import control
from worker.engines.ray.control import (
    BLOCK_BYTES,
    KEEPALIVE_SECONDS,
    MAX_FROM_HOST_BYTES,
    MAX_HELLO_BYTES,
    Answer,
    Fault,
    Hello,
    Kill,
    Refusal,
    Write,
)
from worker.framing import MessageReader, frame


def test_a_whole_block_fits_into_a_message_of_a_host_and_little_more() -> None:
    reader = MessageReader(control.decode_from_host, MAX_FROM_HOST_BYTES)

    answer = Answer(1, data=bytes(BLOCK_BYTES))

    assert reader.feed(bytes(frame(answer))) == [answer]
    assert BLOCK_BYTES < MAX_FROM_HOST_BYTES < 1.1 * BLOCK_BYTES


def test_a_hello_with_a_secret_fits_into_its_limit() -> None:
    assert len(frame(Hello("f" * 64, "10.20.30"))) <= MAX_HELLO_BYTES


def test_neither_end_takes_the_messages_of_the_other() -> None:
    for message in (Kill(1), Write(1, 1, "0" * 64, b"block")):
        with pytest.raises(msgspec.ValidationError):
            control.decode_from_host(bytes(frame(message)[4:]))
    for answer in (Answer(1), Refusal(1, Fault.FAILED, "no")):
        with pytest.raises(msgspec.ValidationError):
            control.decode_to_host(bytes(frame(answer)[4:]))


# Only Linux has these options: elsewhere `keep_alive` leaves their values to the system. CI runs on Linux.
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has these options")
def test_the_kernel_ends_a_connection_whose_other_machine_is_gone() -> None:
    with socket.socket() as connection:
        control.keep_alive(connection)

        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        tcp = [
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert tcp[0] + tcp[1] * tcp[2] == KEEPALIVE_SECONDS == 15
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
