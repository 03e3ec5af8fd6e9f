"""A directory pushes two people and who manages whom, by scim2-client with what the server says of itself."""

import os

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import PatchOp, PatchOperation, SearchRequest

name, value = os.environ["SCIM_CLI_HEADERS"].split(": ", 1)
with httpx2.Client(base_url=os.environ["SCIM_CLI_URL"], headers={name: value}) as http:
    scim = SyncSCIMClient(http)
    scim.discover()
    User, Group = scim.get_resource_model("User"), scim.get_resource_model("Group")
    Enterprise = User.get_extension_model("EnterpriseUser")
    boss = scim.create(User(user_name="boss@example.com", active=True))
    sarah = User(user_name="sarah@example.com", active=True)
    sarah[Enterprise] = Enterprise(department="Sales")
    sarah[Enterprise].manager = Enterprise.model_fields["manager"].annotation.__args__[0](value=boss.id)
    sarah = scim.create(sarah)
    assert sarah[Enterprise].manager.value == boss.id, sarah
    found = scim.query(User, query_parameters=SearchRequest(filter='userName eq "SARAH@example.com"'))
    assert [one.id for one in found.resources] == [sarah.id], found
    team = Group(display_name="Sales")
    team.members = [Group.model_fields["members"].annotation.__args__[0].__args__[0](value=sarah.id)]
    team = scim.create(team)
    assert scim.query(User, sarah.id).groups[0].value == team.id
    off = PatchOp[User](operations=[PatchOperation(op="replace", path="active", value=False)])
    assert scim.modify(User, sarah.id, off).active is False
    scim.delete(User, sarah.id)
    assert not scim.query(Group, team.id).members
print("scim2-client: people, a manager and a group")
