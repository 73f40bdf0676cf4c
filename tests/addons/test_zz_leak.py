from addons.test_scrub import *
async def test_x(house, provider):
    print("PROXY", house.running.address, "PROVIDER", provider.port)
    await test_S28_a_bomb_is_stopped_at_its_limit(house, provider)
    print({c.client.sockname: c.transports.keys() for c in house.running.server.connections.values()})
