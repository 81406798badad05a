from django.db import migrations

from proxy.tables.staff_groups import make_groups

VIEWERS = [
    "proxy.view_connection",
    "proxy.view_refusal",
    "proxy.view_node",
    "proxy.view_block",
    "proxy.view_revocation",
    "proxy.view_poolmember",
]
SUPPORT = [
    *VIEWERS,
    "proxy.kick_connection",
    "proxy.add_block",
    "proxy.change_block",
    "proxy.delete_block",
    "proxy.revoke_tokens",
]
OPERATORS = [
    *SUPPORT,
    "proxy.drain_poolmember",
    "proxy.add_poolmember",
    "proxy.change_poolmember",
    "proxy.delete_poolmember",
    "proxy.view_apikey",
    "proxy.change_apikey",
    "proxy.view_outgoingevent",
    "proxy.change_outgoingevent",
]


class Migration(migrations.Migration):
    """What staff usually are. docs/admin.md has the table."""

    dependencies = [
        ("proxy", "0019_member_since"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [make_groups({"Viewers": VIEWERS, "Support": SUPPORT, "Operators": OPERATORS})]
