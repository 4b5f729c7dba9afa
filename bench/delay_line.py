"""A long line between two network namespaces, for `deno task bench:distance`.

It creates the network devices `near` and `far` in its namespace. What is sent through one arrives at the other after
the line's delay and at its rate. TCP stays the kernel's, with segments of 1460 bytes, which arrive here in
groups, as a network card gets them from the kernel (segmentation offload); a group is dropped or delayed as
a whole. Prints {} when the devices exist, and runs until stdin ends.

usage: delay_line.py ONE_WAY_SECONDS BITS_PER_SECOND BUFFER_BYTES
"""

import collections
import fcntl
import os
import select
import struct
import sys
import time

# From linux/if_tun.h.
TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4 = 1, 2

# struct virtio_net_hdr precedes each packet: two bytes, then u16 for the header's length and the size of a segment.
OFFLOAD_BYTES = 10
MAX_PACKET_BYTES = OFFLOAD_BYTES + 65_536
SEGMENT_HEADER_BYTES = 40
# At most this many packets are read before due ones are delivered.
MAX_READS = 32


def open_device(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)
    return fd


def wire_bytes(packet):
    """The bytes of a packet after its segmentation: each further segment has headers of its own."""
    segment = int.from_bytes(packet[4:6], "little")
    size = len(packet) - OFFLOAD_BYTES
    return size if segment == 0 else size + (size - 1) // segment * SEGMENT_HEADER_BYTES


class Direction:
    """Packets that are under way from one device to the other."""

    def __init__(self, source, target, delay, rate, buffer_bytes):
        self.source, self.target = source, target
        self.delay, self.rate = delay, rate
        self.max_backlog = buffer_bytes * 8 / rate
        self.queue = collections.deque()
        self.idle_at = 0.0  # when the last packet will have left

    def read(self):
        for _ in range(MAX_READS):
            try:
                packet = os.read(self.source, MAX_PACKET_BYTES)
            except BlockingIOError:
                return
            now = time.monotonic()
            start = max(now, self.idle_at)
            if start - now > self.max_backlog:
                continue  # the buffer is full: dropped
            self.idle_at = start + wire_bytes(packet) * 8 / self.rate
            self.queue.append((self.idle_at + self.delay, packet))

    def deliver(self):
        """Delivers what is due. Returns the time until the next packet is, in s."""
        while self.queue:
            wait = self.queue[0][0] - time.monotonic()
            if wait > 0:
                return wait
            try:
                os.write(self.target, self.queue.popleft()[1])
            except OSError:
                pass  # the device is not up yet, or its queue is full: dropped
        return 1.0


def main():
    delay, rate, buffer_bytes = map(float, sys.argv[1:])
    try:
        near, far = open_device("near"), open_device("far")
    except OSError as error:
        sys.exit(f"TUN device: {error}")
    directions = [Direction(near, far, delay, rate, buffer_bytes), Direction(far, near, delay, rate, buffer_bytes)]
    print("{}", flush=True)
    while True:
        wait = min(direction.deliver() for direction in directions)
        ready, _, _ = select.select([near, far, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        for direction in directions:
            if direction.source in ready:
                direction.read()


main()
