from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experience", "0002_playerstate_replies")]

    operations = [
        migrations.AddField(
            "playerstate",
            "is_announced",
            models.BooleanField(db_default=True, default=True, editable=False),
        ),
        migrations.AddIndex(
            "playerstate",
            models.Index(
                condition=models.Q(("is_announced", False)), fields=["id"], name="experience_not_announced"
            ),
        ),
    ]
