from django.db import migrations

PERMISSIONS = [
    ("enable_experience", "Can enable and disable experiences"),
    ("view_experience_by_token", "Can see experiences over the HTTP API, by a token"),
    (
        "enable_experience_by_token",
        "Can enable, disable experiences over the HTTP API, by a token",
    ),
    ("change_experience_by_token", "Can change experiences over the HTTP API, by a token"),
]


class Migration(migrations.Migration):
    dependencies = [("experience", "0004_experience")]

    operations = [
        migrations.AlterModelOptions(
            name="experience", options={"ordering": ["slug"], "permissions": PERMISSIONS}
        ),
    ]
