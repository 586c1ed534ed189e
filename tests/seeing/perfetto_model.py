"""What a reader of Perfetto's traces makes of a file: slices, flows and counters.

It goes by the documented rules of TrackEvents: names are those of the sequence, slices
of a track end in the order of brackets, packets of equal time keep their order, a flow
leads from the event that has its number to the one that ends it.
"""

from __future__ import annotations

from typing import NamedTuple

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent


class Slice(NamedTuple):
    track: int
    name: str
    category: str
    start: int
    end: int
    depth: int


class Read(NamedTuple):
    slices: list
    instants: list
    flows: list
    """Pairs of (track, name, start) of what they connect."""
    counters: dict
    tracks: dict
    clocks: dict


def read(data: bytes) -> Read:
    trace = PerfettoTrace()
    trace.ParseFromString(data)
    found = Read([], [], [], {}, {}, {})
    names, categories, values = {}, {}, {}
    events = []
    for packet in trace.packet:
        # A reader drops packets that it knows fields of, but not the sequence.
        assert packet.trusted_packet_sequence_id or packet.HasField("clock_snapshot")
        for clock in packet.clock_snapshot.clocks:
            found.clocks[clock.clock_id] = clock.timestamp
        data = packet.interned_data
        names.update((entry.iid, entry.name) for entry in data.event_names)
        categories.update((entry.iid, entry.name) for entry in data.event_categories)
        values.update((entry.iid, entry.name) for entry in data.debug_annotation_names)
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in found.tracks
            assert not track.parent_uuid or track.parent_uuid in found.tracks
            found.tracks[track.uuid] = track
        if packet.HasField("track_event"):
            assert packet.sequence_flags == 2
            assert packet.track_event.track_uuid in found.tracks
            events.append((packet.timestamp, packet.track_event))
    events.sort(key=lambda pair: pair[0])  # stable, as readers sort
    open_: dict[int, list] = {}
    flows: dict[int, tuple] = {}
    for time, event in events:
        track = event.track_uuid
        stack = open_.setdefault(track, [])
        if event.type == TrackEvent.TYPE_SLICE_END:
            name, category, start = stack.pop()
            found.slices.append(Slice(track, name, category, start, time, len(stack)))
            continue
        if event.type == TrackEvent.TYPE_COUNTER:
            found.counters.setdefault(track, []).append(
                (time, event.double_counter_value)
            )
            continue
        [iid] = event.category_iids
        begun = (names[event.name_iid], categories[iid], time)
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append(begun)
        else:
            found.instants.append((track, *begun))
        for number in event.flow_ids:
            assert number not in flows
            flows[number] = (track, begun[0], time)
        for number in event.terminating_flow_ids:
            found.flows.append((flows.pop(number), (track, begun[0], time)))
        for value in event.debug_annotations:
            assert values[value.name_iid] in ("item", "attempt")
    assert not any(open_.values())
    assert not flows
    return found
