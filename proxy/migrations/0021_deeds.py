from django.db import migrations

from proxy.tables.staff_groups import give_permission


class Migration(migrations.Migration):
    """The page of what staff did: a permission, and no table of its own."""

    dependencies = [("admin", "0003_logentry_add_action_flag_choices"), ("proxy", "0020_staff_groups")]

    operations = [
        migrations.CreateModel(
            name="Deed",
            fields=[],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "ordering": ["-id"],
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("admin.logentry",),
        ),
        give_permission("proxy.view_deed", to=["Operators"], who_have="proxy.view_apikey"),
    ]
