import django.core.validators
from django.db import migrations, models

import experience.models
from proxy.api import give_permission

EVERYBODY = ["Viewers", "Support", "Operators"]


class Migration(migrations.Migration):
    """Who sees nodes sees experiences; who drains members changes them."""

    dependencies = [
        ("experience", "0003_playerstate_is_announced"),
        ("proxy", "0020_staff_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Experience",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "slug",
                    models.CharField(
                        help_text="As clients ask for it: ?experience=…",
                        max_length=117,
                        unique=True,
                        validators=[experience.models.is_slug],
                    ),
                ),
                ("title", models.CharField(blank=True, help_text="For staff.", max_length=128)),
                ("enabled", models.BooleanField(default=True, editable=False)),
                ("ends_links", models.BooleanField(default=False, editable=False)),
                (
                    "maintenance_message",
                    models.CharField(
                        blank=True,
                        help_text="What clients are told while it is disabled. Empty: the gateway's own words.",
                        max_length=500,
                    ),
                ),
                (
                    "capacity",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How many connections there may be at a time, over all nodes. Empty: any number.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
            ],
            options={
                "ordering": ["slug"],
                "permissions": [
                    ("enable_experience", "Can enable and disable experiences"),
                    ("view_experience_by_token", "Can see experiences over the HTTP API, by a token"),
                    (
                        "enable_experience_by_token",
                        "Can enable, disable experiences over the HTTP API, by a token",
                    ),
                ],
            },
        ),
        give_permission("experience.view_experience", to=EVERYBODY, who_have="proxy.view_node"),
        *(
            give_permission(
                f"experience.{may}_experience", to=["Operators"], who_have="proxy.drain_poolmember"
            )
            for may in ("add", "change", "delete", "enable")
        ),
    ]
