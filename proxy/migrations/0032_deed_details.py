import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Why staff did what they did, how many rows it hit, and what found them: as of programs."""

    dependencies = [("admin", "0003_logentry_add_action_flag_choices"), ("proxy", "0031_block_source")]

    operations = [
        migrations.CreateModel(
            name="DeedDetails",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="deed_details",
                        serialize=False,
                        to="admin.logentry",
                    ),
                ),
                ("count", models.PositiveIntegerField(null=True)),
                ("reason", models.CharField(blank=True, max_length=255)),
                ("found_by", models.CharField(blank=True, max_length=255)),
            ],
            options={"default_permissions": ()},
        ),
    ]
