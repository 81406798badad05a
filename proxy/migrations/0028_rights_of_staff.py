from django.db import migrations, models

OF_STAFF = [
    ("view_refusal_by_token", "Can see who was turned away over the HTTP API, by a token"),
    ("view_block_by_token", "Can see blocks over the HTTP API, by a token"),
    ("view_revocation_by_token", "Can see revocations over the HTTP API, by a token"),
    ("view_node_by_token", "Can see nodes over the HTTP API, by a token"),
    ("view_poolmember_by_token", "Can see pools over the HTTP API, by a token"),
    ("view_deed_by_token", "Can see the audit over the HTTP API, by a token"),
    ("view_staffnote_by_token", "Can see notes about people over the HTTP API, by a token"),
    ("add_block_by_token", "Can block over the HTTP API, by a token"),
    ("delete_block_by_token", "Can lift blocks over the HTTP API, by a token"),
    ("message_connection_by_token", "Can send messages over the HTTP API, by a token"),
    ("broadcast_connection_by_token", "Can broadcast over the HTTP API, by a token"),
    ("drain_node_by_token", "Can drain nodes over the HTTP API, by a token"),
    ("drain_poolmember_by_token", "Can drain pool members over the HTTP API, by a token"),
    ("add_staffnote_by_token", "Can write notes about people over the HTTP API, by a token"),
    ("delete_staffnote_by_token", "Can delete notes about people over the HTTP API, by a token"),
]


class Migration(migrations.Migration):
    """What staff see and do in admin, as permissions for the HTTP API; no table changes."""

    dependencies = [("proxy", "0027_tap_permission")]

    operations = [
        migrations.AlterModelOptions(
            name="apikey",
            options={
                "default_permissions": ("view", "change"),
                "ordering": [
                    models.OrderBy(models.F("revoked_at"), descending=True, nulls_first=True),
                    "-created_at",
                    "id",
                ],
                "permissions": [
                    ("kick_by_token", "Can kick over the HTTP API, by a token"),
                    ("list_by_token", "Can list connections over the HTTP API, by a token"),
                    ("revoke_by_token", "Can revoke tokens over the HTTP API, by a token"),
                    *OF_STAFF,
                ],
                "verbose_name": "API key",
            },
        ),
    ]
