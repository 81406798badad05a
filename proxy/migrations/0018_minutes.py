from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0017_connection_cause_index")]

    operations = [
        migrations.CreateModel(
            name="Minute",
            fields=[
                ("at", models.DateTimeField(primary_key=True, serialize=False)),
                ("sample", models.TextField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
