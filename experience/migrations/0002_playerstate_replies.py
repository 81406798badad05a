from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("experience", "0001_initial")]

    operations = [
        migrations.AddField("playerstate", "replies", models.JSONField(blank=True, editable=False, null=True)),
    ]
