import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import proxy.models.people
from proxy.tables.staff_groups import give_permission


def note_blocks(apps, schema_editor):
    """Blocks that hold already are lines of whom they keep out."""
    rows = apps.get_model("proxy", "Block").objects.exclude(user_id="").select_related("created_by")
    note = apps.get_model("proxy", "StaffNote")
    note.objects.bulk_create(
        (
            note(
                user_id=row.user_id,
                at=row.created_at,
                kind="blocked",
                text=row.reason,
                by="" if row.created_by is None else row.created_by.get_username()[:128],
            )
            for row in rows.iterator()
        ),
        batch_size=500,
    )


class Migration(migrations.Migration):
    """What happened to links, and what staff did or noted, by user."""

    dependencies = [("proxy", "0023_told_to_drain")]

    operations = [
        migrations.CreateModel(
            name="Person",
            fields=[("user_id", models.CharField(max_length=255, primary_key=True, serialize=False))],
            options={"verbose_name_plural": "people", "managed": False, "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="LinkEvent",
            fields=[
                (
                    "id",
                    models.CharField(
                        editable=False, max_length=32, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.CharField(blank=True, max_length=255, verbose_name="user")),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(max_length=32)),
                ("words", models.CharField(blank=True, max_length=520)),
                ("times", models.PositiveIntegerField(default=1)),
                (
                    "connection",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="proxy.connection",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["user_id", "-at"],
                        name="link_event_user",
                        condition=models.Q(("user_id", ""), _negated=True),
                    ),
                    models.Index(fields=["connection", "-at"], name="link_event_connection"),
                    models.Index(fields=["at"], name="link_event_at"),
                ],
            },
        ),
        migrations.CreateModel(
            name="StaffNote",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=proxy.models.people.new_id,
                        editable=False,
                        max_length=32,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("user_id", models.CharField(blank=True, max_length=255, verbose_name="user")),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("kind", models.CharField(max_length=16)),
                ("text", models.TextField(blank=True, max_length=2000)),
                ("by", models.CharField(max_length=128)),
            ],
            options={
                "ordering": ["-at", "-id"],
                "default_permissions": ("view", "add", "delete"),
                "indexes": [
                    models.Index(fields=["user_id", "-at"], name="staff_note_user"),
                    models.Index(
                        fields=["at"],
                        name="staff_note_at",
                        condition=models.Q(("kind", "note"), _negated=True),
                    ),
                ],
            },
        ),
        migrations.RunPython(note_blocks, migrations.RunPython.noop),
        give_permission(
            "proxy.view_staffnote", to=["Viewers", "Support", "Operators"], who_have="proxy.view_connection"
        ),
        give_permission("proxy.add_staffnote", to=["Support", "Operators"], who_have="proxy.kick_connection"),
        give_permission("proxy.delete_staffnote", to=["Operators"], who_have="proxy.drain_poolmember"),
    ]
