"""A member that speaks through the published Python SDK: PORT, channel, client id, key, format.

Commands come as lines of JSON, [name, argument]; each is answered by one line of JSON. What the
channel's subscribers are told comes in between, as {"event": [clientId, action, data]}.
"""

import asyncio
import json
import sys

from ably import AblyRealtime

ACTIONS = ["absent", "present", "enter", "leave", "update"]


def say(what):
    print(json.dumps(what), flush=True)


async def main(port, name, client_id, key, form):
    # This SDK takes the port of a WebSocket from its endpoint alone.
    client = AblyRealtime(key, client_id=client_id, endpoint=f"127.0.0.1:{port}", tls=False,
                          use_binary_protocol=form == "msgpack")
    presence = client.channels.get(name).presence

    async def told(message):
        say({"event": [message.client_id, ACTIONS[message.action], message.data]})

    async def members(_):
        return {member.client_id: member.data for member in await presence.get()}

    async def connection(_):
        return client.connection.connection_manager.connection_id

    recovery = None

    async def recover():
        await client.connection.once_async("disconnected")
        await client.connection.once_async("connected")

    async def brace(_):
        nonlocal recovery
        recovery = asyncio.create_task(recover())
        await asyncio.sleep(0)  # Until it listens.

    async def recovered(_):
        await recovery

    commands = {
        "enter": presence.enter,
        "update": presence.update,
        "leave": lambda _: presence.leave(),
        "members": members,
        "connection": connection,
        "brace": brace,
        "recovered": recovered,
        "close": lambda _: client.close(),
    }
    await presence.subscribe(told)
    say("ready")
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command, argument = json.loads(line)
        say({"answer": await commands[command](argument)})
        if command == "close":
            return


asyncio.run(main(*sys.argv[1:]))
